import { describe, expect, it } from 'vitest';
import { gapTree } from '../../../src/snapshots/tree.ts';
import { indexOf } from '../../support/index-file.ts';

const dir = { type: 'dir' } as const;
const opaque = { type: 'dir', opaque: true } as const;
const whiteout = { type: 'whiteout' } as const;

describe('adjacent layers as one', () => {
  it('show whiteouts, in listings too', () => {
    const tree = gapTree([indexOf({ 'a/x': {}, 'a/y': {} }), indexOf({ 'a/x': whiteout, 'a/z': whiteout })]);
    expect(tree.lookup('a/x')?.type).toBe('whiteout');
    expect(tree.lookup('a/z')?.type).toBe('whiteout');
    expect(tree.list('a').map(([name, { type }]) => `${name} ${type}`)).toEqual(['x whiteout', 'y file', 'z whiteout']);
  });

  it.each([
    ['its own', [{ 'a/x': {} }, { a: opaque }], true],
    ['a lower one’s', [{ a: opaque }, { a: dir }], true],
    ['a file below', [{ a: {} }, { a: dir }], true],
    ['a whiteout below', [{ a: whiteout }, { 'a/x': {} }], true],
    ['a file two layers below', [{ a: {} }, { a: dir }, { 'a/x': {} }], true],
    ['nothing', [{ a: dir }, { 'a/x': {} }], false],
    ['nothing, for what is below is hidden anyway', [{ 'p/a': {} }, { p: opaque }, { 'p/a': dir }], false],
  ])('make a directory opaque by %s', (_, layers, expected) => {
    const tree = gapTree(layers.map((layer) => indexOf(layer)));
    const path = 'p/a' in (layers[0] as object) ? 'p/a' : 'a';
    expect(tree.lookup(path)).toMatchObject({ type: 'dir', opaque: expected });
  });

  it('have nothing of what an opaque directory, a file or a whiteout above it hides', () => {
    for (const above of [opaque, {}, whiteout]) {
      const tree = gapTree([indexOf({ 'a/b/x': {} }), indexOf({ a: above })]);
      expect(tree.lookup('a/b/x')).toBeUndefined();
      expect(tree.lookup('a/b')).toBeUndefined();
    }
  });

  it('take a directory’s attributes from the topmost, and remember whose an entry is', () => {
    const tree = gapTree([
      indexOf({ a: { type: 'dir', mode: 0o700 }, 'a/x': { text: 'old' } }),
      indexOf({ a: { type: 'dir', mode: 0o755 }, 'a/y': {} }),
    ]);
    expect(tree.lookup('a')).toMatchObject({ mode: 0o755, layer: 1 });
    expect(tree.lookup('a/x')).toMatchObject({ layer: 0, size: 3 });
  });
});
