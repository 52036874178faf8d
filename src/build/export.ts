// `--output`: what a build made, written to where it was asked for, one output after the other. Loaded only when something is to be written.

import type { Writable } from 'node:stream';
import { saveImages } from '../images/save.ts';
import type { Images } from '../images/store.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { BuildImages } from './built-image.ts';
import { exportDirectory, exportTar, type LocalOutput, type TarOutput } from './tree-export.ts';

export type BuildOutput = LocalOutput | TarOutput | ArchiveOutput | StoreOutput;

export interface ArchiveOutput {
  readonly type: 'oci' | 'docker';
  /** A file, a directory when `tar` is false; `-`: standard output. */
  readonly destination: string;
  readonly tar: boolean;
  readonly name?: string;
}

/** `image`: the image is in the store, which it is anyway; `cacheonly`: nothing is written. */
export interface StoreOutput {
  readonly type: 'image' | 'cacheonly';
}

export interface ExportOptions {
  readonly outputs: readonly BuildOutput[];
  readonly signal: AbortSignal;
  /** What a destination `-` is; undefined: this process's. A pipe that Node.js has in use can be written to through its stream alone. */
  readonly stdout?: Writable;
}

/** Returns the files and directories that were written. */
export async function exportBuild(
  workplace: Workplace,
  images: Images,
  result: BuildImages,
  { outputs, signal, stdout }: ExportOptions,
): Promise<string[]> {
  const written: string[] = [];
  for (const output of outputs) {
    signal.throwIfAborted();
    if (output.type === 'local') await exportDirectory(workplace, result, output, signal);
    else if (output.type === 'tar') await exportTar(workplace, result, output, signal);
    else if (output.type === 'oci' || output.type === 'docker') await exportArchive(workplace, images, result, output, stdout);
    else continue;
    if (output.destination !== '-') written.push(output.destination);
  }
  return written;
}

async function exportArchive(
  workplace: Workplace,
  images: Images,
  { built, index }: BuildImages,
  { type, destination, tar, name }: ArchiveOutput,
  stdout: Writable | undefined,
): Promise<void> {
  const names = index ? [name ?? index.id] : built.map(({ image }) => name ?? image.id);
  await saveImages(workplace, images, names, {
    format: type,
    destination: destination === '-' && stdout ? stdout : destination,
    directory: !tar,
    compression: type === 'oci' ? 'gzip' : 'none',
  });
}
