// A file tree that can be asked, whatever it is made of: the scan of a context, or a stack of layers seen as overlayfs shows it.
// It answers from indexes alone; nothing is mounted and no file is opened.

import type { Entry, LayerIndex } from './layer-index.ts';

export interface Lookup {
  /** The entry at `path` itself, symlinks in its parents not followed; undefined: absent. The root is always there. */
  lookup(path: string): Entry | undefined;
}

export interface Tree extends Lookup {
  /** Names and entries directly in a directory, sorted by name. Empty for what is no directory. */
  list(path: string): readonly (readonly [name: string, entry: Entry])[];
  /** Everything below a directory, each directory before what it holds. */
  below(path: string): Iterable<Entry>;
}

/** What overlayfs shows of `indexes`, bottom first. */
export function mergedTree(indexes: readonly LayerIndex[]): Tree {
  return {
    lookup: (path) => lookup(indexes, path),
    list: (path) => list(indexes, path),
    below: (path) => below(indexes, path),
  };
}

/**
 * What an overlay would show to the layers around it of adjacent layers merged into one: whiteouts stand there as entries, and a directory is
 * opaque that hides what lies below the lowest of them. Without one of its own it is so by something under it here that is no directory.
 */
export function gapTree(indexes: readonly LayerIndex[]): Omit<Tree, 'below'> {
  const directories = indexes.map(directoriesOf);
  return {
    lookup: (path) => lookupInGap(indexes, directories, path),
    list: (path) => list(indexes, path, true),
  };
}

/** An index that stands alone and has no whiteouts: its own order will do for everything below a directory. */
export function scannedTree(index: LayerIndex): Tree {
  return { ...mergedTree([index]), below: (path) => index.below(path) };
}

/** The same tree with other modes, by path: of regular files and directories. */
export function withModes(tree: Tree, modes: ReadonlyMap<string, number>): Tree {
  const change = (entry: Entry): Entry => {
    const mode = entry.type === 'file' || entry.type === 'dir' ? modes.get(entry.path) : undefined;
    return mode === undefined ? entry : { ...entry, mode };
  };
  return {
    lookup: (path) => {
      const entry = tree.lookup(path);
      return entry && change(entry);
    },
    list: (path) => tree.list(path).map(([name, entry]) => [name, change(entry)]),
    below: function* (path) {
      for (const entry of tree.below(path)) yield change(entry);
    },
  };
}

function* below(indexes: readonly LayerIndex[], path: string): Generator<Entry> {
  for (const [, entry] of list(indexes, path)) {
    yield entry;
    if (entry.type === 'dir') yield* below(indexes, entry.path);
  }
}

export const EMPTY_ROOT: Entry = {
  path: '',
  type: 'dir',
  implied: true,
  opaque: false,
  mode: 0o755,
  uid: 0,
  gid: 0,
  rdev: [0, 0],
  mtime: [0, 0],
  size: 0,
  offset: 0,
  link: '',
  group: '',
  digest: '',
  xattrs: undefined,
  layer: -1,
};

function lookup(indexes: readonly LayerIndex[], path: string): Entry | undefined {
  for (let layer = indexes.length - 1; layer >= 0; layer--) {
    const entry = indexes[layer]?.find(path, layer);
    if (!entry) continue;
    // Only where something is found does it matter whether a layer above hides it.
    const isHidden = indexes.slice(layer + 1).some((above) => hidesBelow(above, path));
    return entry.type === 'whiteout' || isHidden ? undefined : entry;
  }
  return path === '' ? EMPTY_ROOT : undefined;
}

function lookupInGap(
  indexes: readonly LayerIndex[],
  directories: readonly ((path: string) => LayerDirectory)[],
  path: string,
): Entry | undefined {
  if (path === '') return indexes.at(-1)?.find('', indexes.length - 1) ?? EMPTY_ROOT;
  const parent = parentOf(path);
  let top: Entry | undefined;
  for (let layer = indexes.length - 1; layer >= 0; layer--) {
    const { isThere, hides } = (directories[layer] as (path: string) => LayerDirectory)(parent);
    const entry = isThere ? indexes[layer]?.find(path, layer) : undefined;
    if (entry) {
      const isEnd = entry.type !== 'dir' || entry.opaque;
      if (isEnd) return top ? { ...top, opaque: true } : entry;
      top ??= entry;
    }
    if (hides) break;
  }
  return top;
}

interface LayerDirectory {
  readonly isThere: boolean;
  /** Nothing of lower layers shows in it. */
  readonly hides: boolean;
}

/** What one layer has at the path of a directory. Remembered: who looks up thousands of paths does so in few directories. */
function directoriesOf(index: LayerIndex): (path: string) => LayerDirectory {
  const known = new Map<string, LayerDirectory>();
  const lookAt = (path: string): LayerDirectory => {
    let found = known.get(path);
    if (!found) {
      const above = path === '' ? { isThere: true, hides: false } : lookAt(parentOf(path));
      const entry = above.isThere ? index.find(path) : undefined;
      const hides = above.hides || (entry !== undefined && (entry.type !== 'dir' || entry.opaque));
      found = { isThere: entry?.type === 'dir', hides };
      known.set(path, found);
    }
    return found;
  };
  return lookAt;
}

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));

/** Whether a layer hides what lower layers have at `path` by something above it: a parent is opaque, whited out or no directory. */
function hidesBelow(index: LayerIndex, path: string): boolean {
  let parentPath = path;
  while (parentPath !== '') {
    parentPath = parentOf(parentPath);
    const parent = index.find(parentPath);
    if (parent && (parent.type !== 'dir' || parent.opaque)) return true;
  }
  return false;
}

function list(indexes: readonly LayerIndex[], path: string, keepWhiteouts = false): (readonly [string, Entry])[] {
  const found = new Map<string, Entry | undefined>();
  for (let layer = indexes.length - 1; layer >= 0; layer--) {
    const index = indexes[layer] as LayerIndex;
    const directory = index.find(path);
    if (directory && directory.type !== 'dir') break;
    if (directory) {
      for (const [name, entry] of index.children(path, layer)) {
        if (!found.has(name)) found.set(name, entry.type === 'whiteout' && !keepWhiteouts ? undefined : entry);
      }
      if (directory.opaque) break;
    }
    if (hidesBelow(index, path)) break;
  }
  const present = [...found].filter((pair): pair is [string, Entry] => pair[1] !== undefined);
  return present.sort(([a], [b]) => (a < b ? -1 : 1));
}

export interface Resolved<E> {
  /** The path with no symlink left in it; its parents exist as directories unless `entry` is undefined. */
  readonly path: string;
  /** What stands there; undefined: nothing, and perhaps not its parents either. */
  readonly entry: E | undefined;
}

const MAX_LINKS = 255;

/**
 * Follows `path` (absolute or relative to the root, `..` never leaves the root) through symlinks, as in a chroot.
 * Components below the first absent one are appended as they are. `followLast`: whether a link at the very end is followed too.
 * Returns undefined where links go round in circles.
 */
export function resolvePath<E extends Pick<Entry, 'type' | 'link'>>(
  tree: { lookup(path: string): E | undefined },
  path: string,
  followLast: boolean,
): Resolved<E> | undefined {
  const todo = path.split('/').reverse();
  const done: string[] = [];
  let links = 0;
  let entry = tree.lookup('');
  while (todo.length > 0) {
    const name = todo.pop() as string;
    if (name === '' || name === '.') continue;
    if (name === '..') {
      done.pop();
      entry = tree.lookup(done.join('/'));
      continue;
    }
    const here = [...done, name].join('/');
    const next: E | undefined = entry?.type === 'dir' ? tree.lookup(here) : undefined;
    const isLast = todo.every((rest) => rest === '' || rest === '.');
    if (next?.type === 'symlink' && (followLast || !isLast)) {
      if (++links > MAX_LINKS) return undefined;
      if (next.link.startsWith('/')) done.length = 0;
      todo.push(...next.link.split('/').reverse());
      entry = tree.lookup(done.join('/'));
      continue;
    }
    done.push(name);
    entry = next;
  }
  return { path: done.join('/'), entry };
}
