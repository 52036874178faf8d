// What is different between two trees of layers: paths that are there, gone, or changed, as `docker diff` says it. From indexes alone; nothing is
// mounted. Of times nothing is said.

import type { Entry, LayerIndex } from './layer-index.ts';
import { mergedTree, type Tree } from './tree.ts';

export interface Difference {
  /** Added, changed, deleted. */
  readonly kind: 'A' | 'C' | 'D';
  /** Absolute. */
  readonly path: string;
}

/** In order of their paths, a directory before what it holds; of a deleted directory nothing inside is said. */
export function differences(before: readonly LayerIndex[], after: readonly LayerIndex[]): Difference[] {
  const shared = before.findIndex((index, layer) => index !== after[layer]);
  const common = shared < 0 ? before.length : shared;
  const own = [...before.slice(common), ...after.slice(common)];
  const found: Difference[] = [];
  const [a, b] = [mergedTree(before), mergedTree(after)];
  // A directory that only the shared layers have is the same in both.
  const isTouched = (path: string) => own.some((index) => index.find(path) !== undefined);
  const walk = (path: string): void => {
    const [left, right] = [new Map(a.list(path)), new Map(b.list(path))];
    for (const name of [...new Set([...left.keys(), ...right.keys()])].sort()) {
      const [was, is] = [left.get(name), right.get(name)];
      const at = path === '' ? name : `${path}/${name}`;
      if (was && is) {
        if (!isEqual(was, is)) found.push({ kind: 'C', path: `/${at}` });
        if (was.type === 'dir' && is.type === 'dir') {
          if (isTouched(at)) walk(at);
        } else if (is.type === 'dir') addAll(b, at, found);
      } else if (is) {
        found.push({ kind: 'A', path: `/${at}` });
        if (is.type === 'dir') addAll(b, at, found);
      } else found.push({ kind: 'D', path: `/${at}` });
    }
  };
  walk('');
  return found;
}

function addAll(tree: Tree, path: string, found: Difference[]): void {
  for (const inside of tree.below(path)) found.push({ kind: 'A', path: `/${inside.path}` });
}

function isEqual(a: Entry, b: Entry): boolean {
  const factsOf = ({ type, mode, uid, gid, rdev, link, digest, xattrs }: Entry) =>
    JSON.stringify([type, mode, uid, gid, rdev, link, digest, xattrs]);
  return factsOf(a) === factsOf(b);
}
