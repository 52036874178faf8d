// Which value a variable has where: ARG, ENV, and what is given on the command line. The names are the numbers and sentences of the list of
// behaviours (all.test.ts).

import { expect, test } from 'vitest';
import { buildError, buildImage } from '../support/built-image.ts';
import { makeContext } from '../support/contexts.ts';

test("21. Unset ARG (no default) isn't exported: `${X-unset}` yields `unset` in RUN; `ARG X=` yields empty.", async () => {
  const { text, config } = await buildImage(
    'FROM busybox\nARG X\nARG Y=\nRUN echo "[${X-unset}] [${Y-unset}]" > /f\nENV z=[${X-unset}]',
  );
  expect(text('/f')).toBe('[unset] []');
  expect(config.Env).toContain('z=[unset]');
});

test('22. `--build-arg` for an undeclared name changes nothing, including the cache.', async () => {
  const context = makeContext({});
  const dockerfile = 'FROM busybox\nRUN echo ${given-unset} > /f; echo undeclared';
  const first = await buildImage(dockerfile, { context });
  const second = await buildImage(dockerfile, { context, args: ['--build-arg', 'given=value'] });
  expect(second.ran).toEqual([]);
  expect(second.image).toBe(first.image);
  expect(second.text('/f')).toBe('unset');
});

test('23. ARG after ENV of the same name wins from that line on (order, not kind).', async () => {
  const lines = [
    'ENV x=env',
    'RUN echo $x > /1',
    'ARG x=arg',
    'RUN echo $x > /2',
    'LABEL l=$x',
    'ENV x=again',
    'RUN echo $x > /3',
  ];
  const { text, config } = await buildImage(`FROM busybox\n${lines.join('\n')}`);
  expect([text('/1'), text('/2'), text('/3')]).toEqual(['env', 'arg', 'again']);
  expect(config.Labels).toEqual({ l: 'arg' });
  expect(config.Env).toContain('x=again');
});

test('24. Stage ARGs are inherited by `FROM thatstage`, but not by `COPY --from` consumers.', async () => {
  const from = await buildImage('FROM busybox AS up\nARG v=1\nFROM up\nRUN echo ${v-unset} > /f');
  expect(from.text('/f')).toBe('1');
  expect(from.history.at(-1)?.created_by).toBe('RUN |1 v=1 /bin/sh -c echo ${v-unset} > /f # buildkit');
  const copied = await buildImage(
    'FROM busybox AS up\nARG v=1\nRUN touch /up\nFROM busybox\nCOPY --from=up /up /\nRUN echo ${v-unset} > /f',
  );
  expect(copied.text('/f')).toBe('unset');
});

test('25. Platform args empty in a stage until re-declared; `FROM --platform=$BUILDPLATFORM` needs no declaration.', async () => {
  const lines = ['ENV before=[$TARGETOS$BUILDPLATFORM]', 'ARG TARGETOS TARGETPLATFORM', 'ENV after=$TARGETOS/$TARGETPLATFORM'];
  const { config } = await buildImage(`FROM --platform=$BUILDPLATFORM busybox\n${lines.join('\n')}`);
  expect(config.Env).toContain('before=[]');
  expect(config.Env?.at(-1)).toMatch(/^after=linux\/linux\/[a-z0-9]+$/);
});

test('26. `FROM $UNSET` → "base name should not be blank"; `--platform=$EMPTY` is an error, too.', async () => {
  expect(await buildError('FROM $UNSET')).toContain('base name ($UNSET) should not be blank');
  expect(await buildError('ARG EMPTY=\nFROM --platform=$EMPTY busybox')).toContain('empty platform value from expression $EMPTY');
});

test('27. `FROM a${X}` where result equals a stage name picks the stage.', async () => {
  const { text } = await buildImage('ARG X=b\nFROM busybox AS ab\nRUN echo stage > /f\nFROM a${X}');
  expect(text('/f')).toBe('stage');
});
