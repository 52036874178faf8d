// COPY: what it takes and where it lands. The names are the numbers and sentences of the list of behaviours (all.test.ts).

import { execFileSync } from 'node:child_process';
import { chmodSync, renameSync, utimesSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { type BuiltImage, buildError, buildImage } from '../support/built-image.ts';
import { makeContext } from '../support/contexts.ts';

test('44. COPY dir to new dest: dest root is 0:0/0755-ish, nested keep source metadata.', async () => {
  const context = makeContext({ 'tree/sub/f': { text: 'f', mode: 0o640 } });
  chmodSync(path.join(context, 'tree'), 0o700);
  chmodSync(path.join(context, 'tree/sub'), 0o750);
  const { stat } = await buildImage('FROM busybox\nCOPY tree /new/dest', { context });
  expect([stat('/new'), stat('/new/dest')]).toEqual(['755 0:0', '755 0:0']);
  expect([stat('/new/dest/sub'), stat('/new/dest/sub/f')]).toEqual(['750 0:0', '640 0:0']);
});

test("45. COPY from context resets uid/gid to 0; `COPY --from` doesn't.", async () => {
  const up = 'FROM busybox AS up\nRUN mkdir /o && touch /o/f && chown -R 7:8 /o\n';
  const { stat } = await buildImage(`${up}FROM busybox\nCOPY f /f\nCOPY --from=up /o /o\nCOPY --from=up /o/f /g`, {
    context: { f: 'f' },
  });
  expect([stat('/f'), stat('/o'), stat('/o/f'), stat('/g')]).toEqual(['644 0:0', '755 0:0', '644 7:8', '644 7:8']);
});

test('46. `COPY foo nomatch* /` succeeds; `COPY missing /` fails naming the path.', async () => {
  const { list } = await buildImage('FROM scratch\nCOPY foo nomatch* /', { context: { foo: 'x' } });
  expect(list('/')).toEqual(['foo']);
  expect(await buildError('FROM scratch\nCOPY missing /', { context: { foo: 'x' } })).toContain('missing');
});

test('47. `COPY *.txt /d` (no slash, one match) creates file `/d`; with several matches the last writer wins.', async () => {
  const one = await buildImage('FROM scratch\nCOPY *.txt /d', { context: { 'a.txt': 'a' } });
  expect(one.text('/d')).toBe('a');
  const several = await buildImage('FROM scratch\nCOPY *.txt /d', { context: { 'a.txt': 'a', 'b.txt': 'b' } });
  expect(several.text('/d')).toBe('b');
});

test('48. `COPY sub/* /d/` flattens matched directories one level.', async () => {
  const context = { 'sub/file': 'f', 'sub/dir/in': 'i', 'sub/dir/deep/er': 'e' };
  const { list } = await buildImage('FROM scratch\nCOPY sub/* /d/', { context });
  expect([list('/d'), list('/d/deep')]).toEqual([['deep', 'file', 'in'], ['er']]);
});

test('49. COPY through a dest symlink writes to its target inside the rootfs, absolute or not.', async () => {
  const links =
    'RUN mkdir /real && ln -s real /relative && ln -s /real /absolute && ln -s ../../../../real /up && ln -s /real/file /file';
  const copies = 'COPY f /relative/1\nCOPY f /absolute/\nCOPY f /up/new/2\nCOPY f /file';
  const { list, text } = await buildImage(`FROM busybox\n${links}\n${copies}`, { context: { f: 'x' } });
  expect([list('/real'), list('/real/new')]).toEqual([['1', 'f', 'file', 'new'], ['2']]);
  expect(text('/real/file')).toBe('x');
});

test('50. COPY over an existing *file symlink inside a tree copy* replaces the link.', async () => {
  const links = 'RUN mkdir /d && ln -s /etc/passwd /d/f && mkdir /e && ln -s /etc/group /e/f';
  const { files, text } = await buildImage(`FROM busybox\n${links}\nCOPY tree /d\nCOPY tree/f /e/`, {
    context: { 'tree/f': 'x' },
  });
  expect([files.get('d/f')?.type, text('/d/f')]).toEqual(['file', 'x']);
  expect([text('/etc/passwd'), text('/etc/group')]).not.toContain('x');
});

test('51. `COPY --link` never follows dest links and can overwrite `/tmp` mode.', async () => {
  const context = makeContext({ f: 'x', 'tmp/g': 'g' });
  chmodSync(path.join(context, 'tmp'), 0o700);
  const lines = 'RUN mkdir /real && ln -s real /link\nCOPY --link f /link/\nCOPY --link f /tmp/';
  const { files, list, stat } = await buildImage(`FROM busybox\n${lines}`, { context });
  expect(files.get('link')?.type).toBe('directory');
  expect([list('/link'), list('/real')]).toEqual([['f'], []]);
  expect(stat('/tmp')).toBe('755 0:0');
  const tree = await buildImage('FROM busybox\nCOPY --link . /', { context });
  expect(tree.stat('/tmp')).toBe('700 0:0');
});

test('52. `COPY --link --chmod` behaves as plain COPY.', async () => {
  const lines = 'RUN mkdir /real && ln -s real /link\nCOPY --link --chmod=600 f /link/\nCOPY --link --chmod=600 f /tmp/';
  const { files, stat } = await buildImage(`FROM busybox\n${lines}`, { context: { f: 'x' } });
  expect(files.get('link')?.type).toBe('symlink');
  expect([stat('/real/f'), stat('/tmp'), stat('/tmp/f')]).toEqual(['600 0:0', '1777 0:0', '600 0:0']);
});

test('53. Renaming a file matched by a wildcard must invalidate cache (testWildcardRenameCache), touching mtime must not.', async () => {
  const context = makeContext({ 'a1.txt': 'x' });
  const dockerfile = 'FROM busybox\nCOPY a*.txt /d/';
  await buildImage(dockerfile, { context });
  utimesSync(path.join(context, 'a1.txt'), 1, 1);
  expect((await buildImage(dockerfile, { context })).ran).toEqual([]);
  renameSync(path.join(context, 'a1.txt'), path.join(context, 'a2.txt'));
  const renamed = await buildImage(dockerfile, { context });
  expect(renamed.ran).toEqual(['COPY a*.txt /d/']);
  expect(renamed.list('/d')).toEqual(['a2.txt']);
});

test('54. chmod/umask difference of source files *does* invalidate COPY (pain #3).', async () => {
  const context = makeContext({ f: { text: 'x', mode: 0o644 }, untracked: { text: 'x', mode: 0o644 } });
  const git = (...args: string[]) => execFileSync('git', ['-C', context, ...args], { stdio: 'ignore' });
  git('init');
  git('add', 'f');
  chmodSync(context, 0o755);
  const dockerfile = 'FROM busybox\nCOPY . /modes';
  const inMode = (mode: string) => buildImage(dockerfile, { context, args: [`--context-modes=${mode}`] });
  const modesOf = ({ stat }: BuiltImage) => [stat('/modes/f'), stat('/modes/untracked')];

  expect(modesOf(await buildImage(dockerfile, { context }))).toEqual(['644 0:0', '644 0:0']);
  expect((await inMode('strict')).ran).toEqual([]);
  expect((await inMode('git')).ran).toEqual([]);
  chmodSync(path.join(context, 'f'), 0o664);
  // The modes that git has are those of the first build.
  expect((await inMode('git')).ran).toEqual([]);
  const changed = await inMode('strict');
  expect([changed.ran, modesOf(changed)]).toEqual([['COPY . /modes'], ['664 0:0', '644 0:0']]);
  chmodSync(path.join(context, 'untracked'), 0o600);
  const untracked = await inMode('git');
  expect([untracked.ran, modesOf(untracked)]).toEqual([['COPY . /modes'], ['644 0:0', '600 0:0']]);
});
