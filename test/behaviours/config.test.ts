// What an image says of itself: its config and history. The names are the numbers and sentences of the list of behaviours (all.test.ts).

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { addImage, archiveOf, configOf, layerOf, named, setIndex } from '../support/archives.ts';
import { buildError, buildImage } from '../support/built-image.ts';
import { makeContext } from '../support/contexts.ts';
import { freshStore } from '../support/stores.ts';
import { tbuildOk } from '../support/tbuild.ts';

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

test('32. `FROM scratch AS x` then config has `WorkingDir=/` and PATH.', async () => {
  const { config, files } = await buildImage('FROM scratch AS x\nLABEL a=b');
  expect(config).toEqual({ Env: [PATH], WorkingDir: '/', Labels: { a: 'b' } });
  expect(files.size).toBe(0);
});

test('33. PATH is injected when the base image lacks it (not on Windows).', async () => {
  const store = freshStore();
  for (const os of ['linux', 'windows']) {
    const layers = [await layerOf('hello', 'hello')];
    const files = new Map();
    const image = addImage(files, layers, configOf(layers, { os, architecture: 'amd64' }));
    const archive = path.join(makeContext({}), 'image.tar');
    writeFileSync(archive, await archiveOf(setIndex(files, [named(image, `docker.io/library/${os}:latest`)])));
    await tbuildOk(['load', '-i', archive], { store });
  }
  const onLinux = await buildImage('FROM --platform=linux/amd64 linux\nENV a=b', { store });
  expect(onLinux.config.Env).toEqual([PATH, 'a=b']);
  const onWindows = await buildImage('FROM --platform=windows/amd64 windows\nENV a=b', { store });
  expect(onWindows.config.Env).toEqual(['a=b']);
});

test('34. ENTRYPOINT clears CMD inherited from the base, but not a CMD set earlier in this stage.', async () => {
  const base = 'FROM busybox AS base\nCMD ["inherited"]\n';
  expect((await buildImage(`${base}FROM base\nENTRYPOINT ["run"]`)).config).toMatchObject({ Entrypoint: ['run'] });
  expect((await buildImage(`${base}FROM base\nENTRYPOINT ["run"]`)).config.Cmd).toBeUndefined();
  expect((await buildImage(`${base}FROM base\nCMD ["own"]\nENTRYPOINT ["run"]`)).config.Cmd).toEqual(['own']);
  expect((await buildImage(`${base}FROM base\nENTRYPOINT ["run"]\nCMD ["own"]`)).config.Cmd).toEqual(['own']);
  expect((await buildImage(`${base}ENTRYPOINT ["run"]`)).config.Cmd).toEqual(['inherited']);
});

test('35. Shell-form CMD under custom SHELL stores `[shell…, "cmd"]`.', async () => {
  const { config } = await buildImage('FROM busybox\nSHELL ["/bin/ash", "-e", "-c"]\nCMD echo $x  y\nENTRYPOINT one two');
  expect(config.Cmd).toEqual(['/bin/ash', '-e', '-c', 'echo $x  y']);
  expect(config.Entrypoint).toEqual(['/bin/ash', '-e', '-c', 'one two']);
  expect(config.Shell).toEqual(['/bin/ash', '-e', '-c']);
});

test('36. HEALTHCHECK NONE with args → error; `CMD` missing command → error.', async () => {
  expect(await buildError('FROM busybox\nHEALTHCHECK NONE x')).toContain('HEALTHCHECK NONE takes no arguments');
  expect(await buildError('FROM busybox\nHEALTHCHECK CMD')).toContain('missing command after HEALTHCHECK CMD');
  const { config } = await buildImage('FROM busybox\nHEALTHCHECK --retries=1 CMD x\nHEALTHCHECK --retries=1 NONE');
  expect(config.Healthcheck).toEqual({ Test: ['NONE'] });
  const long = await buildImage('FROM busybox\nHEALTHCHECK --interval=9999h CMD x');
  expect(long.config.Healthcheck?.Interval).toBe(35_996_400_000_000_000);
});

test('37. EXPOSE `8000-8002/udp` creates three keys; `80/TCP` is lower-cased with a lint.', async () => {
  const image = await buildImage('FROM busybox\nEXPOSE 8000-8002/udp 80/TCP');
  expect(image.config.ExposedPorts).toEqual({ '80/tcp': {}, '8000/udp': {}, '8001/udp': {}, '8002/udp': {} });
  const warnings = image.events.flatMap((event) => (event.type === 'warning' ? [event.warning] : []));
  expect(warnings.map(({ rule, message }) => [rule, message])).toEqual([
    ['ExposeProtoCasing', "Defined protocol '80/TCP' in EXPOSE instruction should be lowercase"],
  ]);
});

test('38. EXPOSE args are sorted; `EXPOSE $PORTS` with "80 81" yields two ports.', async () => {
  const { config, history } = await buildImage('FROM busybox\nENV PORTS="80 81"\nEXPOSE 9 10/udp $PORTS 1000');
  expect(config.ExposedPorts).toEqual({ '10/udp': {}, '1000/tcp': {}, '80/tcp': {}, '81/tcp': {}, '9/tcp': {} });
  expect(history.at(-1)?.created_by).toBe('EXPOSE [80/tcp 81/tcp 10/udp 1000/tcp 9/tcp]');
});

test('39. VOLUME JSON vs words; `VOLUME [""]` error.', async () => {
  const { config } = await buildImage('FROM busybox\nENV v=/c\nVOLUME ["/a b", "$v"]\nVOLUME /x  /y');
  expect(config.Volumes).toEqual({ '/a b': {}, '/c': {}, '/x': {}, '/y': {} });
  expect(await buildError('FROM busybox\nVOLUME [""]')).toContain('VOLUME specified can not be an empty string');
  expect(await buildError('FROM busybox\nVOLUME $unset')).toContain('VOLUME specified can not be an empty string');
});

test("76. `LABEL` from `--label` wins over Dockerfile; labels of stages used only by COPY --from don't leak.", async () => {
  const stages = 'FROM busybox AS files\nLABEL leaked=yes\nRUN touch /f\nFROM busybox AS base\nLABEL from=base base=yes';
  const { config } = await buildImage(`${stages}\nFROM base\nCOPY --from=files /f /\nLABEL from=dockerfile`, {
    args: ['--label', 'from=command', '--label', 'bare'],
  });
  expect(config.Labels).toEqual({ bare: '', base: 'yes', from: 'command' });
});

test('77. STOPSIGNAL validated at build (`SIGFOO` fails).', async () => {
  expect(await buildError('FROM busybox\nSTOPSIGNAL SIGFOO')).toContain('invalid signal: SIGFOO');
  expect(await buildError('FROM busybox\nSTOPSIGNAL 0')).toContain('invalid signal: 0');
  const { config } = await buildImage('FROM busybox\nARG s=rtmin+3\nSTOPSIGNAL $s');
  expect(config.StopSignal).toBe('rtmin+3');
});

test('78. History entries: metadata instructions `empty_layer:true`; file ones end in `# buildkit`; comment `buildkit.dockerfile.v0`.', async () => {
  const lines = ['ENV a=1', 'COPY f /f', 'WORKDIR /w', 'RUN touch g', 'CMD x', 'ADD f /g'];
  const { history } = await buildImage(`FROM busybox\n${lines.join('\n')}`, { context: { f: 'f' } });
  expect(history.map(({ created_by, empty_layer = false }) => [created_by, empty_layer])).toEqual([
    ['ENV a=1', true],
    ['COPY f /f # buildkit', false],
    ['WORKDIR /w', false],
    ['RUN /bin/sh -c touch g # buildkit', false],
    ['CMD ["/bin/sh" "-c" "x"]', true],
    ['ADD f /g # buildkit', false],
  ]);
  expect(new Set(history.map(({ comment }) => comment))).toEqual(new Set(['buildkit.dockerfile.v0']));
});
