// `diff`: what a container has changed of its image, by the index of what it wrote: docker's A, C and D. It may go on writing.

import { existsSync } from 'node:fs';
import type { Difference } from '../../snapshots/differences.ts';
import { type Entry, LayerIndex } from '../../snapshots/layer-index.ts';
import { mergedTree, type Tree } from '../../snapshots/tree.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import type { Container } from '../containers.ts';
import { layersOf, upperOf } from './container-root.ts';

/** In order of their paths, a directory before what it holds. One in which something changed is itself changed. */
export async function diffContainer(workplace: Workplace, container: Container): Promise<Difference[]> {
  const dir = upperOf(container);
  if (!existsSync(dir)) return [];
  const out = workplace.newPath();
  await workplace.serve.call('indexUpper', { dir, out });
  const image = mergedTree(layersOf(workplace, container).map(({ id }) => workplace.layers.index(id)));
  return changesIn('', LayerIndex.read(out), image);
}

function changesIn(path: string, written: LayerIndex, image: Tree): Difference[] {
  const own = new Map(written.children(path));
  const isOpaque = path !== '' && written.find(path)?.opaque === true;
  const hidden = isOpaque ? image.list(path).filter(([name]) => !own.has(name)) : [];
  const names = [...own.keys(), ...hidden.map(([name]) => name)].sort();
  return names.flatMap((name) => {
    const at = path === '' ? name : `${path}/${name}`;
    return changesAt(at, own.get(name), written, image);
  });
}

/** `now` undefined: what an opaque directory does not show any more. */
function changesAt(path: string, now: Entry | undefined, written: LayerIndex, image: Tree): Difference[] {
  const before = image.lookup(path);
  const change = (kind: Difference['kind']): Difference => ({ kind, path: `/${path}` });
  if (now === undefined || now.type === 'whiteout') return before ? [change('D')] : [];
  const inside = now.type === 'dir' ? changesIn(path, written, image) : [];
  if (!before) return [change('A'), ...inside];
  // A directory that was only passed through has been copied up as it was.
  const isSame = now.type === 'dir' && before.type === 'dir' && inside.length === 0 && attributesOf(now) === attributesOf(before);
  return isSame ? [] : [change('C'), ...inside];
}

const attributesOf = ({ mode, uid, gid, xattrs }: Entry): string => JSON.stringify([mode, uid, gid, xattrs]);
