import { describe, expect, it } from 'vitest';
import { mergedTree, resolvePath } from '../../../src/snapshots/tree.ts';
import { indexOf } from '../../support/index-file.ts';

const names = (tree: ReturnType<typeof mergedTree>, path: string) => tree.list(path).map(([name]) => name);

describe('a single index', () => {
  const index = indexOf({ 'a/x': {}, 'a-b': {}, 'a.c/deep/er': {}, a0: {}, 'a/y/z': {}, b: { link: 'a' } });

  it('lists only direct children, though siblings sort between a directory and what it holds', () => {
    const tree = mergedTree([index]);
    expect(names(tree, '')).toEqual(['a', 'a-b', 'a.c', 'a0', 'b']);
    expect(names(tree, 'a')).toEqual(['x', 'y']);
    expect(names(tree, 'a.c/deep')).toEqual(['er']);
    expect(names(tree, 'a-b')).toEqual([]);
    expect(names(tree, 'nothing')).toEqual([]);
  });

  it('finds every entry and nothing else', () => {
    for (let i = 0; i < index.count; i++) expect(index.find(index.at(i).path)?.path).toBe(index.at(i).path);
    for (const path of ['a/', 'a/x/y', 'c', 'a/xx', 'A']) expect(index.find(path)).toBeUndefined();
  });

  it('gives what is below a directory, in order', () => {
    expect([...index.below('a')].map(({ path }) => path)).toEqual(['a/x', 'a/y', 'a/y/z']);
  });
});

describe('a stack, as overlayfs shows it', () => {
  const base = indexOf({
    'etc/passwd': { text: 'old' },
    'etc/motd': {},
    'var/lib/x': {},
    'var/lib/y': {},
    'opt/file': {},
    lib: { link: 'usr/lib' },
  });

  it('lists nothing from below an opaque directory, however deep, and finds nothing there', () => {
    const tree = mergedTree([base, indexOf({ var: { type: 'dir', opaque: true }, 'var/lib/z': {} })]);
    expect(names(tree, 'var/lib')).toEqual(['z']);
    expect(tree.lookup('var/lib/x')).toBeUndefined();
  });

  it('shows the topmost entry and remembers whose it is', () => {
    const tree = mergedTree([base, indexOf({ 'etc/passwd': { text: 'new' } })]);
    expect(tree.lookup('etc/passwd')).toMatchObject({ layer: 1, size: 3 });
    expect(tree.lookup('etc/motd')).toMatchObject({ layer: 0 });
    expect(names(tree, 'etc')).toEqual(['motd', 'passwd']);
  });

  it('hides what a whiteout, an opaque directory or another type covers', () => {
    const tree = mergedTree([
      base,
      indexOf({
        'etc/motd': { type: 'whiteout' },
        'var/lib': { type: 'dir', opaque: true },
        'var/lib/z': {},
        opt: { text: 'now a file' },
      }),
    ]);
    expect(tree.lookup('etc/motd')).toBeUndefined();
    expect(names(tree, 'etc')).toEqual(['passwd']);
    expect(tree.lookup('var/lib/x')).toBeUndefined();
    expect(names(tree, 'var/lib')).toEqual(['z']);
    expect(tree.lookup('opt')?.type).toBe('file');
    expect(tree.lookup('opt/file')).toBeUndefined();
  });

  it('shows again what comes back above a whiteout', () => {
    const tree = mergedTree([base, indexOf({ var: { type: 'whiteout' } }), indexOf({ 'var/new': {} })]);
    expect(names(tree, 'var')).toEqual(['new']);
    expect(tree.lookup('var/lib/x')).toBeUndefined();
  });

  it('has a root even without a layer', () => {
    expect(mergedTree([]).lookup('')).toMatchObject({ type: 'dir', mode: 0o755 });
    expect(mergedTree([]).list('')).toEqual([]);
  });
});

describe('resolving', () => {
  const tree = mergedTree([
    indexOf({
      'usr/lib/a': {},
      lib: { link: 'usr/lib' },
      'app/up': { link: '../../../../usr' },
      abs: { link: '/usr/lib' },
      last: { link: 'usr/lib/a' },
      one: { link: 'two' },
      two: { link: 'one' },
      dangling: { link: 'usr/nothing/below' },
    }),
  ]);

  it.each([
    ['lib/a', 'usr/lib/a', 'file'],
    ['/abs/a', 'usr/lib/a', 'file'],
    ['app/up/lib/a', 'usr/lib/a', 'file'],
    ['last', 'usr/lib/a', 'file'],
    ['lib/../a', 'usr/a', undefined],
    ['../../etc', 'etc', undefined],
    ['dangling/x', 'usr/nothing/below/x', undefined],
    ['usr/lib/a/below', 'usr/lib/a/below', undefined],
    ['', '', 'dir'],
  ])('%s is %s', (path, expected, type) => {
    const resolved = resolvePath(tree, path, true);
    expect(resolved?.path).toBe(expected);
    expect(resolved?.entry?.type).toBe(type);
  });

  it('leaves the last link alone when asked to', () => {
    expect(resolvePath(tree, 'last', false)?.entry?.type).toBe('symlink');
    expect(resolvePath(tree, 'lib/a', false)?.path).toBe('usr/lib/a');
  });

  it('ends where links go round in circles', () => {
    expect(resolvePath(tree, 'one/x', true)).toBeUndefined();
  });
});
