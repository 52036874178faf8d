// The files of an image that is only described: contents by path, links by their targets. Executable is what is said to be, or has the mode.
import { hash } from 'node:crypto';
import { type ImageFile, type ImageFiles, openImageFiles } from '../../src/sbom/image-files.ts';
import type { ImageStore } from './image-store.ts';

export interface MemoryFile {
  readonly content: string | Uint8Array;
  readonly mode?: number;
}

/** No links: those are the tree's matter. Counts what is read. */
export function memoryFiles(
  files: Readonly<Record<string, string | Uint8Array | MemoryFile>>,
): ImageFiles & { readBytes: number } {
  const contents = new Map<string, Buffer>();
  const entries = Object.entries(files).map(([path, file]): ImageFile => {
    const { content, mode = 0o644 } = typeof file === 'string' || file instanceof Uint8Array ? { content: file } : file;
    const bytes = Buffer.from(content);
    contents.set(path, bytes);
    return { path, size: bytes.length, mode, digest: hash('sha256', bytes, 'hex') };
  });
  const opened = {
    readBytes: 0,
    find: (path: string) => entries.find((entry) => entry.path === path),
    list: (path: string) => entries.filter((entry) => entry.path.slice(0, entry.path.lastIndexOf('/')) === path),
    all: () => entries,
    read: ({ path }: ImageFile, start: number, length: number) => {
      const bytes = (contents.get(path) as Buffer).subarray(start, start + length);
      opened.readBytes += bytes.length;
      return bytes;
    },
  };
  return opened;
}

/** Of layers with these entries, bottom first, in a real store. */
export async function storedFiles({ place }: ImageStore, layers: readonly (readonly object[])[]): Promise<ImageFiles> {
  const state = [];
  for (const entries of layers) {
    const { driver } = place.driver;
    const written = entries.map((entry) => ({ mode: 0o644, uid: 0, gid: 0, mtime: [0, 0], ...entry }));
    const summary = await place.serve.call('writeLayer', {
      driver,
      out: place.newPath(),
      sources: [],
      entries: written as never,
    });
    state.push(place.layers.commit(summary, driver));
  }
  return openImageFiles(place.layers, state);
}
