// Every way to look at or to change a path, and everything about the path that may be another: each command is run before and after each change.
// Where it does something else, its trace must not hold. And whatever can be another, some way to look must see it, or nothing was shown.

import { afterAll, beforeAll, expect, it } from 'vitest';
import type { LayerEntry } from '../../src/native/serve.ts';
import { type Laboratory, openLaboratory, type Ran, type Tree } from '../soundness/laboratory.ts';
import { emptyStore } from '../support/stores.ts';

let laboratory: Laboratory;
beforeAll(async () => {
  laboratory = await openLaboratory(emptyStore());
});
afterAll(() => laboratory?.close());

type Files = Readonly<Record<string, Partial<LayerEntry> | undefined>>;

const dir = { type: 'dir', mode: 0o755 } as const;
const text = (text: string): Partial<LayerEntry> => ({ type: 'file', mode: 0o644, text, size: text.length });
const acl = (uid: number) => {
  const entries = [[1, 6, -1], [2, 6, uid], [4, 4, -1], [16, 6, -1], [32, 4, -1]] as const; // biome-ignore format: a table
  const bytes = entries.flatMap(([tag, rights, id]) => [tag, 0, rights, 0, ...(id < 0 ? [255, 255, 255, 255] : [id, 0, 0, 0])]);
  return { 'system.posix_acl_access': Buffer.from([2, 0, 0, 0, ...bytes]).toString('base64') };
};

const before: Files = {
  t: dir,
  't/f': text('content'),
  't/g': text('content'),
  't/h': { ...text('content'), hardlink: 't/g' },
  't/empty': text(''),
  't/d': dir,
  't/d/b': text('in it'),
  't/o': dir,
  't/l': { type: 'symlink', mode: 0o777, link: 'd' },
  't/p': { type: 'fifo', mode: 0o600 },
  't/c': { type: 'char', mode: 0o600, rdev: [1, 3] },
};
/** Below what is observed, so that it matters what is hidden. */
const under: Files = { t: dir, 't/d': dir, 't/d/under': text('hidden?'), 't/none': text('hidden?') };

const changes: Readonly<Record<string, Files>> = {
  'a content of the same size': { 't/f': text('Content') },
  'a longer content': { 't/f': text('content, and more') },
  'a file that was empty': { 't/empty': text('x') },
  'a file that is empty now': { 't/f': text('') },
  'the mode of a file': { 't/f': { ...text('content'), mode: 0o755 } },
  'the mode of a directory': { 't/d': { ...dir, mode: 0o711 } },
  'the owner of a file': { 't/f': { ...text('content'), uid: 7 } },
  'the owner of a directory': { 't/d': { ...dir, uid: 7 } },
  'the owner of a link': { 't/l': { type: 'symlink', mode: 0o777, link: 'd', uid: 7 } },
  'where a link leads': { 't/l': { type: 'symlink', mode: 0o777, link: 'e' } },
  'a directory that was a file': { 't/f': dir },
  'a link that was a file': { 't/f': { type: 'symlink', mode: 0o777, link: 'g' } },
  'a FIFO that was a file': { 't/f': { type: 'fifo', mode: 0o644 } },
  'a file that was a directory': { 't/d': text('x'), 't/d/b': undefined },
  'a file that is gone': { 't/f': undefined },
  'a directory that is gone': { 't/d': undefined, 't/d/b': undefined },
  'a file that is new': { 't/new': text('new') },
  'a file that is new in a directory': { 't/d/new': text('new') },
  'a file over one below': { 't/none': text('seen') },
  'a whiteout': { 't/none': { type: 'whiteout' } },
  'a whiteout in place of a file': { 't/f': { type: 'whiteout' } },
  'a directory that hides what is below': { 't/d': { ...dir, opaque: true } },
  'the number of a device': { 't/c': { type: 'char', mode: 0o600, rdev: [1, 5] } },
  'an attribute': { 't/f': { ...text('content'), xattrs: { 'user.a': 'MQ==' } } },
  'an ACL': { 't/f': { ...text('content'), xattrs: acl(7) } },
  'another name of a file': { 't/i': { ...text('content'), hardlink: 't/g' } },
  'a name that is a file of its own': { 't/h': text('content') },
};

/** Nobody may see this, and once SEEK_END did: a directory that only one layer has was listed in another way when it had a whiteout. */
const invisible: Readonly<Record<string, Files>> = { 'a whiteout over nothing': { 't/o/none': { type: 'whiteout' } } };

/** Of the wanderer. */
const operations =
  'lstat stat fstat access executable slash read head beyond far end hole data fionread statx statx_cached statx_birth list link xattr acl xattrs map parent real execute same send list_bit_by_bit list_behind statfs handle extents flags lock watch statx_nothing statx_more direct copy splice cached directory append truncate empty create unlink rmdir mkdir rename exchange hardlink symlink chmod chown setxattr touch fifo grow scribble allocate replace linked'.split(
    ' ',
  );
const paths = [
  '/t',
  '/t/f',
  '/t/g',
  '/t/empty',
  '/t/d',
  '/t/d/b',
  '/t/d/under',
  '/t/d/new',
  '/t/o',
  '/t/l',
  '/t/l/b',
  '/t/p',
  '/t/c',
  '/t/new',
  '/t/none',
];

const entriesOf = (files: Files): LayerEntry[] =>
  Object.entries(files).flatMap(([path, entry]) =>
    entry ? [{ path, uid: 0, gid: 0, mtime: [1_600_000_000, 0] as const, ...entry } as LayerEntry] : [],
  );

/** With an extended attribute somewhere, so that each is asked for. */
const withAttribute: Files = { ...before, 't/other': { ...text('x'), xattrs: { 'user.a': 'MQ==' } } };

it('what a command can learn of a path, it is observed to learn', { timeout: 580_000 }, async () => {
  const { seenBy, wrong } = await tryAll(operations, withAttribute);
  for (const [name, operations] of seenBy) console.log(`${name}: ${operations.join(' ')}`);
  expect(wrong).toEqual([]);
  expect([...seenBy.keys()].sort()).toEqual(Object.keys(changes).sort());
});

it('so it is where nothing has extended attributes or hides anything', { timeout: 200_000 }, async () => {
  const { seenBy, wrong } = await tryAll(
    ['executable', 'list', 'list_behind', 'end', 'xattr', 'acl', 'xattrs', 'rmdir', 'chmod'],
    before,
  );
  expect(wrong).toEqual([]);
  expect([...seenBy.keys()]).toEqual(expect.arrayContaining(['an attribute', 'an ACL', 'a whiteout']));
});

/** Which operations have seen which change, and where one that was seen would have been a hit. */
async function tryAll(operations: readonly string[], before: Files): Promise<{ seenBy: Map<string, string[]>; wrong: string[] }> {
  const treeOf = (change: Files): Tree => ({
    layers: [
      { entries: entriesOf(under), traced: false },
      { entries: entriesOf({ ...before, ...change }), traced: true },
    ],
  });
  const seenBy = new Map<string, string[]>();
  const wrong: string[] = [];
  for (const operation of operations) {
    // Several paths in one command, so that thousands of pairs are hundreds of runs; each on its own where they differ.
    const words = ['EACH', operation, '/out/log', ...paths];
    const first = await laboratory.run(treeOf({}), { args: words });
    if (typeof first === 'string') throw new Error(`${operation}: ${first}`);
    for (const [name, change] of Object.entries({ ...changes, ...invisible })) {
      const holds = await laboratory.holds(treeOf(change), { args: words });
      const difference = first.differenceTo((await laboratory.run(treeOf(change), { args: words })) as Ran);
      if (difference === undefined) continue;
      seenBy.set(name, [...(seenBy.get(name) ?? []), operation]);
      if (holds(first.trace)) wrong.push(`${operation}, ${name}: ${difference}`);
    }
    laboratory.clear();
  }
  return { seenBy, wrong };
}
