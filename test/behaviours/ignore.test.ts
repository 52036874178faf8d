// .dockerignore. The names are the numbers and sentences of the list of behaviours (all.test.ts).

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { buildImage } from '../support/built-image.ts';
import { makeContext } from '../support/contexts.ts';

const everything = 'FROM scratch\nCOPY . /';

/** All paths that a COPY of the whole context brings, Dockerfile and ignore file aside. */
async function copied(ignore: string, files: Readonly<Record<string, string>>): Promise<string[]> {
  const image = await buildImage(everything, { context: { '.dockerignore': ignore, ...files } });
  return [...image.files.keys()].filter((name) => !['', 'Dockerfile', '.dockerignore'].includes(name)).sort();
}

test('58. `.dockerignore`: `foo` excludes only top-level `foo`; `**/foo` everywhere.', async () => {
  const files = { foo: '', 'sub/foo': '', 'sub/deep/foo': '', bar: '' };
  expect(await copied('foo', files)).toEqual(['bar', 'sub', 'sub/deep', 'sub/deep/foo', 'sub/foo']);
  expect(await copied('**/foo', files)).toEqual(['bar', 'sub', 'sub/deep']);
});

test('59. `.dockerignore`: `*` + `!a/b/c` still sends a/b/c and its parent dirs.', async () => {
  const files = { 'a/b/c': 'c', 'a/b/d': '', 'a/e': '', f: '' };
  expect(await copied('*\n!a/b/c', files)).toEqual(['a', 'a/b', 'a/b/c']);
});

test('60. `.dockerignore`: a leading-space `#x` is a pattern, not a comment.', async () => {
  const files = { '#x': '', y: '', z: '' };
  expect(await copied(' #x\ny', files)).toEqual(['z']);
  expect(await copied('#x\ny', files)).toEqual(['#x', 'z']);
});

test('61. `-f sub/X.Dockerfile` uses `sub/X.Dockerfile.dockerignore`.', async () => {
  const context = makeContext({
    '.dockerignore': 'kept',
    'sub/X.Dockerfile': everything,
    'sub/X.Dockerfile.dockerignore': 'dropped',
    kept: '',
    dropped: '',
  });
  const args = ['-f', path.join(context, 'sub/X.Dockerfile')];
  const own = await buildImage('FROM no-such-image', { context, args });
  expect([own.files.has('kept'), own.files.has('dropped')]).toEqual([true, false]);
  writeFileSync(path.join(context, 'sub/Y.Dockerfile'), everything);
  const other = await buildImage('FROM no-such-image', { context, args: ['-f', path.join(context, 'sub/Y.Dockerfile')] });
  expect([other.files.has('kept'), other.files.has('dropped')]).toEqual([false, true]);
});
