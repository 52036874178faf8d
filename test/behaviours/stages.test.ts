// Stages: how they are named, found, needed and left out. The names are the numbers and sentences of the list of behaviours (all.test.ts).

import { expect, test } from 'vitest';
import { buildError, buildImage } from '../support/built-image.ts';

test('28. Stage names in COPY --from / --target are case-insensitive; lower-cased at definition.', async () => {
  const dockerfile =
    'FROM busybox AS BuildIt\nRUN touch /f\nFROM busybox AS last\nCOPY --from=BUILDit /f /a\nCOPY --from=buildit /f /b';
  const whole = await buildImage(dockerfile);
  expect(whole.list('/')).toEqual(expect.arrayContaining(['a', 'b']));
  const part = await buildImage(dockerfile, { args: ['--target', 'bUILDiT'] });
  expect(part.list('/')).toContain('f');
  const plan = part.events.find((event) => event.type === 'plan');
  expect(plan?.steps.at(-1)?.stage).toBe('buildit');
});

test('29. `COPY --from=0` index works; `RUN --mount=from=0` looks for an image called `0`.', async () => {
  const { text } = await buildImage('FROM busybox\nRUN echo zero > /f\nFROM busybox\nCOPY --from=0 /f /f');
  expect(text('/f')).toBe('zero');
  // Nothing listens there: the registry's answer is not what this is about.
  const env = { https_proxy: 'http://127.0.0.1:1', no_proxy: '' };
  const error = await buildError('FROM busybox\nFROM busybox\nRUN --mount=from=0,target=/m true', { env });
  expect(error).toContain('docker.io/library/0:latest');
  expect(error).not.toContain('invalid stage index');
});

test('30. Forward reference to a later stage → explicit error, self/circular → "circular dependency" with locations.', async () => {
  const later = 'FROM busybox AS first\nCOPY --from=second /etc/passwd /\nFROM busybox AS second\nRUN touch /x\nFROM first';
  expect(await buildError(later)).toContain(
    'cannot copy from stage "second", it needs to be defined before current stage "first"',
  );
  const mount = 'FROM busybox AS first\nRUN --mount=from=second,target=/m true\nFROM busybox AS second\nFROM first';
  expect(await buildError(mount)).toContain('stage needs to be defined before current command');
  const self = await buildError('FROM busybox AS me\nCOPY --from=me /etc/passwd /');
  expect(self).toContain('circular dependency detected on stage: me');
  expect(self).toMatch(/Dockerfile:2\n/);
  const circle = 'FROM busybox AS a\nCOPY --from=b /etc/passwd /\nFROM busybox AS b\nCOPY --from=a /etc/passwd /';
  expect(await buildError(circle)).toContain('circular dependency detected on stage: ');
});

test('31. An unused stage with a non-existent base image must not fail the build; a syntax error in it must.', async () => {
  const { text } = await buildImage('FROM no.such/image AS unused\nRUN false\nFROM busybox\nRUN echo x > /f');
  expect(text('/f')).toBe('x');
  expect(await buildError('FROM busybox AS unused\nCOPY onlyone\nFROM busybox')).toContain(
    'COPY requires at least two arguments',
  );
});

test('80. `--target` prunes everything not reachable; default target is the **last** stage.', async () => {
  const stages = ['FROM busybox AS a\nRUN echo a > /f', 'FROM a AS b\nRUN echo b >> /f', 'FROM busybox AS c\nRUN echo c > /f'];
  const dockerfile = `${stages.join('\n')}\nRUN false\nFROM busybox\nRUN echo last > /f`;
  expect((await buildImage(dockerfile)).text('/f')).toBe('last');
  const target = await buildImage(dockerfile, { args: ['--target', 'b'] });
  expect(target.text('/f')).toBe('a\nb');
  const plan = target.events.find((event) => event.type === 'plan');
  expect(new Set(plan?.steps.map(({ stage }) => stage))).toEqual(new Set(['a', 'b']));
});
