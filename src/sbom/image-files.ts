// The files of an image, or of a build context, read from indexes and data where they are: nothing is mounted, and a file is read only as far as it is asked for.

import type { LayerSource } from '../native/serve.ts';
import { readPart } from '../snapshots/contents.ts';
import type { Entry, LayerIndex } from '../snapshots/layer-index.ts';
import type { Layers, PresentLayer } from '../snapshots/layers.ts';
import { mergedTree, resolvePath, scannedTree, type Tree } from '../snapshots/tree.ts';
import type { Findings } from './package.ts';

export type ImageFile = Pick<Entry, 'path' | 'size' | 'mode' | 'digest'>;

export interface ImageFiles {
  /** The regular file at a path, links followed as in a chroot; undefined: there is none. */
  find(path: string): ImageFile | undefined;
  /** The regular files directly in a directory, links to it followed. */
  list(path: string): readonly ImageFile[];
  /** Every regular file, once for each of its names. */
  all(): Iterable<ImageFile>;
  /** At most `length` bytes from `start` on. */
  read(file: ImageFile, start: number, length: number): Buffer;
}

/** Of layers, bottom first. */
export function openImageFiles(layers: Layers, state: readonly PresentLayer[]): ImageFiles {
  const tree = mergedTree(state.map(({ id }) => layers.index(id)));
  return openTree(tree, ({ layer }) => layers.source(state[layer] as PresentLayer));
}

/** Of what was scanned as a whole: a build context. */
export function openScannedFiles(index: LayerIndex, files: LayerSource): ImageFiles {
  return openTree(scannedTree(index), () => files);
}

function openTree(tree: Tree, sourceOf: (entry: Entry) => LayerSource): ImageFiles {
  const isFile = (entry: Entry | undefined): entry is Entry => entry?.type === 'file';
  const find = (path: string) => {
    const entry = resolvePath(tree, path, true)?.entry;
    return isFile(entry) ? entry : undefined;
  };
  return {
    find,
    list: (path) => {
      const directory = resolvePath(tree, path, true);
      const entries = directory?.entry?.type === 'dir' ? tree.list(directory.path) : [];
      return entries.map(([, entry]) => entry).filter(isFile);
    },
    all: function* () {
      for (const entry of tree.below('')) if (isFile(entry)) yield entry;
    },
    read: (file, start, length) => {
      const entry = file as Entry;
      return readPart(entry, sourceOf(entry), start, length);
    },
  };
}

/** The whole file as text; undefined, and a note: it has more than `limitBytes`. */
export function readText(files: ImageFiles, file: ImageFile, limitBytes: number, findings: Findings): string | undefined {
  if (file.size <= limitBytes) return files.read(file, 0, file.size).toString();
  findings.note(`${file.path} is not read: it has more than ${limitBytes >> 10} KiB`);
  return undefined;
}

const FILES_AT_ONCE = 200;

/** Files as they are, with a pause now and then: reading them waits for the disk, and nothing else goes on meanwhile. */
export async function* inTurns(files: Iterable<ImageFile>, signal: AbortSignal | undefined): AsyncGenerator<ImageFile> {
  let count = 0;
  for (const file of files) {
    if (++count % FILES_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
    yield file;
  }
}
