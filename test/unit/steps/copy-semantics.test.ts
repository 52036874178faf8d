// Where sources land, against BuildKit's rules (fsutil/copy); and what the step saw of the layers below.

import { describe, expect, it } from 'vitest';
import type { LayerIndex } from '../../../src/snapshots/layer-index.ts';
import { mergedTree } from '../../../src/snapshots/tree.ts';
import { holds, observe, rootView } from '../../../src/steps/observe.ts';
import { Placement } from '../../../src/steps/place.ts';
import { selectionDigest, selectSources } from '../../../src/steps/select.ts';
import { type Described, indexOf } from '../../support/index-file.ts';

type Files = Readonly<Record<string, Described>>;

interface Options {
  readonly owner?: { uid: number; gid: number };
  readonly mode?: string;
  readonly exclude?: readonly string[];
  readonly parents?: boolean;
}

function copy(source: Files, paths: string[], destination: string, below: readonly LayerIndex[] = [], options: Options = {}) {
  const selected = selectSources(
    mergedTree([indexOf(source)]),
    { paths, exclude: options.exclude ?? [], parents: options.parents ?? false },
    'the build context',
  );
  const observer = observe(below);
  const placement = new Placement(observer.tree, { destination, owner: options.owner, mode: options.mode, mtime: [1, 0] });
  for (const item of selected) placement.add(item, (entry) => ({ source: 0, at: entry.path }));
  const entries = placement.entries();
  return {
    entries,
    observations: observer.observations(),
    paths: entries.filter(({ implied }) => !implied).map(({ path, type }) => (type === 'dir' ? `${path}/` : path)),
  };
}

const context: Files = {
  'a.txt': { text: 'a' },
  'b.txt': { text: 'bb' },
  '.hidden': {},
  'sub/c.txt': {},
  'sub/deep/d.txt': {},
  'sub/link': { link: 'c.txt' },
  'x/one/f': {},
  'x/two/f': {},
  tolink: { link: 'sub' },
  filelink: { link: 'a.txt' },
};
const base = indexOf({
  'app/old': {},
  'var/tmp': { type: 'dir', mode: 0o1777 },
  'srv/www': { link: '/app' },
  'etc/f': {},
  'sub/c.txt': { type: 'dir' },
});

describe('destinations', () => {
  it.each([
    ['a file to a name', ['a.txt'], '/new', ['new']],
    ['a file to a path', ['a.txt'], '/p/q/new', ['p/', 'p/q/', 'p/q/new']],
    ['a file to a directory that is written with a slash', ['a.txt'], '/dir/', ['dir/', 'dir/a.txt']],
    ['a file into a directory that is there', ['a.txt'], '/app', ['app/a.txt']],
    ['a file through a link to a directory', ['a.txt'], '/srv/www', ['app/a.txt']],
    ['the contents of a directory', ['sub'], '/d', ['d/', 'd/c.txt', 'd/deep/', 'd/deep/d.txt', 'd/link']],
    ['the contents of a directory, with a slash', ['sub/'], '/app', ['app/c.txt', 'app/deep/', 'app/deep/d.txt', 'app/link']],
    ['a link to a directory is followed', ['tolink'], '/d', ['d/', 'd/c.txt', 'd/deep/', 'd/deep/d.txt', 'd/link']],
    ['a link to a file is followed, and keeps its name', ['filelink'], '/d/', ['d/', 'd/filelink']],
    ['out of the context is clamped', ['../../a.txt'], '/n', ['n']],
    ['a leading slash is ignored', ['/a.txt'], '/n', ['n']],
    ['a wildcard', ['*.txt'], '/d/', ['d/', 'd/a.txt', 'd/b.txt']],
    ['a wildcard flattens the directories it matches', ['x/*'], '/d/', ['d/', 'd/f']],
    ['a star matches hidden files', ['.h*'], '/d/', ['d/', 'd/.hidden']],
    ['a wildcard that matches nothing is no error', ['nothing*', 'a.txt'], '/d/', ['d/', 'd/a.txt']],
    ['several sources', ['a.txt', 'b.txt'], '/app/', ['app/a.txt', 'app/b.txt']],
  ])('%s', (_, paths, destination, expected) => {
    expect(copy(context, paths, destination, [base]).paths).toEqual(expected);
  });

  it('refuses a literal path that is not there, by name', () => {
    expect(() => copy(context, ['missing'], '/d/')).toThrow('"missing" not found in the build context');
  });

  it('refuses to replace a directory with a file, and the reverse', () => {
    expect(() => copy(context, ['sub'], '/sub', [base])).toThrow('cannot replace the directory /sub/c.txt');
    expect(() => copy(context, ['sub'], '/etc/f', [base])).toThrow('cannot copy to non-directory: /etc/f');
    expect(() => copy({ 'tree/dir/f': {} }, ['tree'], '/', [indexOf({ dir: { link: 'elsewhere' } })])).toThrow(
      'onto the symlink /dir',
    );
  });

  it('passes through directories that are there with their own attributes', () => {
    const { entries } = copy(context, ['a.txt'], '/var/tmp/', [base]);
    expect(entries.find(({ path }) => path === 'var/tmp')).toMatchObject({ implied: true, mode: 0o1777 });
  });
});

describe('attributes', () => {
  it('gives everything the owner and mode that are asked for, new parents included', () => {
    const { entries } = copy(context, ['sub'], '/n/m', [], { owner: { uid: 7, gid: 8 }, mode: '750' });
    for (const entry of entries.filter(({ implied, type }) => !implied && type !== 'symlink'))
      expect(entry).toMatchObject({ uid: 7, gid: 8, mode: 0o750 });
  });

  it('keeps hard links within one copy', () => {
    const { entries } = copy({ one: { text: 'x' }, two: { text: 'x', group: 'one' } }, ['.'], '/d/');
    expect(entries.find(({ path }) => path === 'd/two')).toMatchObject({ hardlink: 'd/one' });
  });

  it('makes files of their own of the names of one file in several sources', () => {
    const { entries } = copy({ one: { text: 'x' }, two: { text: 'x', group: 'one' } }, ['one', 'two'], '/d/');
    expect(entries.find(({ path }) => path === 'd/two')).toMatchObject({ at: 'two' });
  });
});

describe('archives', () => {
  const archive = mergedTree([
    indexOf({
      passed: { type: 'dir', implied: true, owner: [3, 3] },
      'passed/file': { text: 'x', mode: 0o640, owner: [9, 8] },
      there: { text: 'x', owner: [9, 8] },
      link: { type: 'dir', mode: 0o700 },
    }),
  ]);
  const extract = (owner?: { uid: number; gid: number }) => {
    const below = mergedTree([indexOf({ 'in/there/old': {}, 'in/link': { link: '/etc' } })]);
    const context = { uid: 0, gid: 0 };
    const placement = new Placement(below, { destination: '/in', owner: owner ?? context, mode: '777', mtime: [1, 0] });
    placement.extract(archive, ({ path }) => ({ source: 0, at: path }), owner);
    return Object.fromEntries(placement.entries().map((entry) => [entry.path, entry]));
  };

  it('keep their owners and modes, unlike other files of a context; a directory that they do not name is new', () => {
    expect(extract()['in/passed/file']).toMatchObject({ mode: 0o640, uid: 9, gid: 8 });
    expect(extract()['in/passed']).toMatchObject({ mode: 0o755, uid: 0, gid: 0, mtime: [1, 0] });
  });

  it('have the owner that is asked for', () => {
    expect(extract({ uid: 5, gid: 6 })['in/passed/file']).toMatchObject({ mode: 0o640, uid: 5, gid: 6 });
  });

  it('replace what is there; a directory goes where a link leads, and never out of the destination', () => {
    expect(extract()['in/there']).toMatchObject({ type: 'file' });
    expect(extract()['in/link']).toBeUndefined();
    expect(extract()['in/etc']).toMatchObject({ type: 'dir', mode: 0o700 });
  });
});

describe('--exclude and --parents', () => {
  it('leaves out what is excluded, and takes back exceptions with their directories', () => {
    expect(copy(context, ['.'], '/d/', [], { exclude: ['x', '!x/one/f', '*.txt'] }).paths).toEqual([
      'd/',
      'd/.hidden',
      'd/filelink',
      'd/sub/',
      'd/sub/c.txt',
      'd/sub/deep/',
      'd/sub/deep/d.txt',
      'd/sub/link',
      'd/tolink',
      'd/x/',
      'd/x/one/',
      'd/x/one/f',
    ]);
  });

  it('keeps the path, or what follows the pivot', () => {
    expect(copy(context, ['x/one/f'], '/d/', [], { parents: true }).paths).toEqual(['d/', 'd/x/', 'd/x/one/', 'd/x/one/f']);
    expect(copy(context, ['x/./one/f'], '/d/', [], { parents: true }).paths).toEqual(['d/', 'd/one/', 'd/one/f']);
    expect(copy(context, ['**/f'], '/d/', [], { parents: true }).paths).toEqual([
      'd/',
      'd/x/',
      'd/x/one/',
      'd/x/one/f',
      'd/x/two/',
      'd/x/two/f',
    ]);
  });
});

describe('what a COPY saw', () => {
  const seen = (destination: string, below: LayerIndex[]) => copy(context, ['sub'], destination, below).observations;

  it('is little: one observation covers everything below an absent path', () => {
    expect(seen('/new/dir', [base])).toEqual([
      ['L', '', 'dir 755 0:0'],
      ['A', '', ''],
      ['N', 'new', ''],
    ]);
  });

  it.each([
    ['another base', '/new', indexOf({ 'usr/bin/x': {}, 'etc/f': { text: 'other' } }), true],
    ['other files beside the destination', '/app', indexOf({ 'app/else': {}, 'app/old': { text: 'changed' } }), true],
    ['a mere touch', '/app', indexOf({ 'app/old': { mtime: 5 }, app: { type: 'dir', mtime: 7 } }), true],
    ['the destination became a symlink', '/app', indexOf({ app: { link: 'opt' }, 'opt/x': {} }), false],
    ['a file stands where a directory was', '/app', indexOf({ app: { text: 'file' } }), false],
    ['a directory stands where nothing was', '/new', indexOf({ 'new/x': {} }), false],
    ['the directory has another mode', '/app', indexOf({ 'app/old': {}, app: { type: 'dir', mode: 0o700 } }), false],
    ['the directory has another owner', '/app', indexOf({ 'app/old': {}, app: { type: 'dir', owner: [5, 5] } }), false],
    ['the directory is gone', '/app', indexOf({ other: {} }), false],
    ['a file in the copied tree is in the way', '/app', indexOf({ 'app/deep': { text: 'file' }, 'app/old': {} }), false],
  ])('%s', (_, destination, other, hit) => {
    const below = indexOf({ 'app/old': {}, 'etc/f': {} });
    expect(holds(seen(destination, [below]), rootView([below]))).toBe(true);
    expect(holds(seen(destination, [below]), rootView([other]))).toBe(hit);
  });

  it('sees an owner as numbers, not the passwd file', () => {
    const passwd = (text: string) => indexOf({ 'etc/passwd': { text }, 'etc/group': { text: 'web:x:50:\n' } });
    const first = passwd('root:x:0:0::/:\nweb:x:100:50::/:\n');
    const observer = observe([first]);
    expect(observer.ownerOf('web', undefined)).toEqual({ uid: 100, gid: 50 });
    const { observations } = { observations: observer.observations() };
    expect(holds(observations, rootView([passwd('web:x:100:50::/srv:\nnew:x:1:1::/:\n')]))).toBe(true);
    expect(holds(observations, rootView([passwd('web:x:101:50::/:\n')]))).toBe(false);
  });
});

describe('the sources as a whole', () => {
  const digest = (files: Files, keepOwners = false) =>
    selectionDigest(selectSources(mergedTree([indexOf(files)]), { paths: ['.'], exclude: [], parents: false }, ''), keepOwners);
  const before = { 'd/f': { text: 'x', mode: 0o644 } };

  it.each([
    ['a content', { 'd/f': { text: 'y' } }],
    ['a mode', { 'd/f': { text: 'x', mode: 0o755 } }],
    ['a name', { 'd/g': { text: 'x' } }],
    ['a new file', { ...before, 'd/h': {} }],
    ['a type', { 'd/f': { link: 'x' } }],
    ['an xattr', { 'd/f': { text: 'x', xattrs: { 'security.capability': 'v' } } }],
  ])('%s changes them', (_, after) => {
    expect(digest(after)).not.toBe(digest(before));
  });

  it('are the same after a touch; owners count only where they are kept', () => {
    expect(digest({ 'd/f': { text: 'x', mtime: 9 } })).toBe(digest(before));
    expect(digest({ 'd/f': { text: 'x', owner: [1, 1] } })).toBe(digest(before));
    expect(digest({ 'd/f': { text: 'x', owner: [1, 1] } }, true)).not.toBe(digest(before, true));
  });
});
