// `--context-modes=git`: the modes of what git tracks are git's, in key and result, so that machines with another umask share cache and image.
// Behaviour 54 (a mode of a source invalidates COPY) holds without it, for what git does not track, and for what git itself says otherwise.

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { buildError, buildImage } from '../support/built-image.ts';
import { makeContext } from '../support/contexts.ts';

const dockerfile = 'FROM scratch\nCOPY tree /d\nCOPY untracked /u\n';
const args = ['--context-modes=git'];

const git = (directory: string, ...words: string[]) =>
  execFileSync('git', ['-c', 'user.name=x', '-c', 'user.email=x@x', ...words], { cwd: directory, encoding: 'utf8' });

function makeRepository(): string {
  const context = makeContext({
    'tree/file': 'x',
    'tree/tool': { text: '#!/bin/sh\n', mode: 0o755 },
    'tree/sub/in': 'y',
    'tree/empty/.keep': '',
    untracked: { text: 'u', mode: 0o640 },
  });
  symlinkSync('file', path.join(context, 'tree/link'));
  git(context, 'init', '-q');
  git(context, 'add', 'tree');
  return context;
}

/** As a checkout with the umask 077 leaves it. */
function restrict(context: string): void {
  for (const name of ['tree', 'tree/sub', 'tree/empty', 'tree/tool']) chmodSync(path.join(context, name), 0o700);
  for (const name of ['tree/file', 'tree/sub/in', 'tree/empty/.keep']) chmodSync(path.join(context, name), 0o600);
}

test('what git tracks has its modes; another umask is a hit, and the same image', async () => {
  const context = makeRepository();
  const first = await buildImage(dockerfile, { context, args });
  const stats = (built: typeof first) => ['d', 'd/file', 'd/tool', 'd/sub', 'd/sub/in', 'u'].map((name) => built.stat(name));
  expect(stats(first)).toEqual(['755 0:0', '644 0:0', '755 0:0', '755 0:0', '644 0:0', '640 0:0']);
  restrict(context);
  const second = await buildImage(dockerfile, { context, args });
  expect(second.ran).toEqual([]);
  expect(second.image).toBe(first.image);
  const strict = await buildImage(dockerfile, { context });
  expect(strict.ran).toContain('COPY tree /d');
  expect(stats(strict)).toEqual(['755 0:0', '600 0:0', '700 0:0', '700 0:0', '600 0:0', '640 0:0']);
});

test('what git does not track keeps its modes, and they count', async () => {
  const context = makeRepository();
  await buildImage(dockerfile, { context, args });
  chmodSync(path.join(context, 'untracked'), 0o755);
  const changed = await buildImage(dockerfile, { context, args });
  expect(changed.ran).toEqual(['COPY untracked /u']);
  expect(changed.stat('u')).toBe('755 0:0');
});

test('a mode that git is told of counts', async () => {
  const context = makeRepository();
  await buildImage(dockerfile, { context, args });
  git(context, 'update-index', '--chmod=+x', 'tree/file');
  const changed = await buildImage(dockerfile, { context, args });
  expect(changed.ran).toEqual(['COPY tree /d']);
  expect(changed.stat('d/file')).toBe('755 0:0');
});

test('in a part of a work tree, in a submodule, in a mount', async () => {
  const inner = makeRepository();
  git(inner, 'commit', '-qm', 'x');
  const outer = makeContext({ 'part/untracked': 'u' });
  git(outer, 'init', '-q');
  mkdirSync(path.join(outer, 'part/tree'));
  renameSync(inner, path.join(outer, 'part/tree/module'));
  git(outer, 'add', 'part/tree/module');
  restrict(path.join(outer, 'part/tree/module'));
  writeFileSync(path.join(outer, 'part/tree/own'), '', { mode: 0o600 });
  git(outer, 'add', 'part/tree/own');
  const run = 'FROM busybox\nRUN --mount=target=/m stat -c "%a %n" /m/tree/own /m/tree/module/tree/tool > /modes\n';
  const built = await buildImage(`${run}COPY tree /d\n`, { context: path.join(outer, 'part'), args });
  expect(built.text('modes')).toBe('644 /m/tree/own\n755 /m/tree/module/tree/tool');
  expect(built.stat('d/module/tree/file')).toBe('644 0:0');
});

test('a named context too', async () => {
  const lib = makeRepository();
  restrict(lib);
  const context = makeRepository();
  const built = await buildImage('FROM scratch\nCOPY --from=lib tree /d\n', {
    context,
    args: [...args, '--build-context', `lib=${lib}`],
  });
  expect(built.stat('d/file')).toBe('644 0:0');
});

test('nothing of a repository is executed', async () => {
  const context = makeRepository();
  const proof = path.join(context, 'proof');
  const script = path.join(context, '.git/evil');
  writeFileSync(script, `#!/bin/sh\ntouch ${proof}\n`, { mode: 0o755 });
  for (const key of ['core.fsmonitor', 'core.sshCommand', 'core.pager', 'filter.x.process']) git(context, 'config', key, script);
  rmSync(proof, { force: true });
  const built = await buildImage('FROM scratch\nCOPY . /d\n', { context, args });
  expect(built.list('d')).not.toContain('proof');
});

test('where there is no work tree that is an error', async () => {
  const said = await buildError(dockerfile, { context: { 'tree/x': '', untracked: '' }, args });
  expect(said).toMatch(/error: --context-modes=git, but git tracks nothing in .*: not a git repository/);
  expect(said).toContain('leave the flag out');
  expect(await buildError(dockerfile, { args: ['--context-modes=loose'] })).toContain('loose');
});
