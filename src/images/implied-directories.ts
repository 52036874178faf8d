// Directories that a layer's tar only passes through have no attributes of their own: those of the layers below show, as when the tar is unpacked
// over them. In a stack of overlay lowers the uppermost directory's show, so the layer gets them before it enters the store.

import { type Digest, hexOf } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { LayerEntry, LayerSource, LayerSummary } from '../native/serve.ts';
import type { Entry, LayerIndex } from '../snapshots/layer-index.ts';
import { mergedTree, type Tree } from '../snapshots/tree.ts';
import type { Workplace } from '../snapshots/workplace.ts';

type Attributes = Pick<Entry, 'mode' | 'uid' | 'gid' | 'xattrs'>;

/** Whether every implied directory has the attributes of what it lies over. */
export function isFitting(index: LayerIndex, below: readonly LayerIndex[]): boolean {
  const tree = mergedTree(below);
  for (const entry of index.implied()) if (!isEqual(entry, attributesBelow(tree, entry))) return false;
  return true;
}

function attributesBelow(tree: Tree, entry: Entry): Attributes {
  const under = tree.lookup(entry.path);
  return under?.type === 'dir' ? under : entry;
}

function isEqual(a: Attributes, b: Attributes): boolean {
  return (
    a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && JSON.stringify(a.xattrs ?? {}) === JSON.stringify(b.xattrs ?? {})
  );
}

/** The layer of that diff ID once more, its implied directories as `below` has them. Its tar is the same. */
export function fitImplied(
  place: Workplace,
  index: LayerIndex,
  source: LayerSource,
  below: readonly LayerIndex[],
  diffId: Digest,
): Promise<LayerSummary> {
  const tree = mergedTree(below);
  const entries = Array.from({ length: index.count }, (_, position) => {
    const entry = index.at(position);
    return toLayerEntry(entry.implied ? { ...entry, ...attributesOf(attributesBelow(tree, entry)) } : entry, 'data' in source);
  });
  const { driver } = place.driver;
  return place.serve.call('writeLayer', { driver, out: place.newPath(), sources: [source], entries, diffId: hexOf(diffId) });
}

function attributesOf({ mode, uid, gid, xattrs }: Attributes): Attributes {
  return { mode, uid, gid, xattrs };
}

function toLayerEntry(entry: Entry, isImage: boolean): LayerEntry {
  // Indexes hold bytes, this seam text.
  if (!entry.path.isWellFormed() || !entry.link.isWellFormed()) {
    throw new TbuildError(
      'unsupported/not-utf8',
      `a layer whose directories take their modes from below has the name ${entry.path}, which is not UTF-8`,
    );
  }
  const isContent = entry.type === 'file' && entry.size > 0;
  return {
    path: entry.path,
    type: entry.type,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    mtime: entry.mtime,
    ...(entry.implied ? { implied: true as const } : {}),
    ...(entry.opaque ? { opaque: true as const } : {}),
    ...(entry.type === 'symlink' ? { link: entry.link } : {}),
    ...(entry.group !== entry.path ? { hardlink: entry.group } : {}),
    ...(entry.type === 'char' || entry.type === 'block' ? { rdev: entry.rdev } : {}),
    ...(entry.xattrs ? { xattrs: entry.xattrs } : {}),
    ...(entry.type === 'file' ? { size: entry.size, digest: entry.digest } : {}),
    ...(isContent ? { source: 0, at: isImage ? entry.offset : entry.path } : {}),
  };
}
