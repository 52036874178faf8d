// `--output`: what a build made, written to where it was asked for, one output after the other. Loaded only when something is to be written.

import type { Writable } from 'node:stream';
import type { Images } from '../../images/store.ts';
import { familiarName } from '../../oci/reference.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import type { BuildImages } from './built-image.ts';
import type { EngineOutput } from './engine.ts';
import { type ArchiveOutput, type ExportedImage, exportImage, type ImageOutput } from './image.ts';
import type { Push, PushSteps } from './push-steps.ts';
import { exportDirectory, exportTar, type LocalOutput, type TarOutput } from './tree.ts';

export type BuildOutput = LocalOutput | TarOutput | ArchiveOutput | ImageOutput | EngineOutput | NoOutput;

export interface NoOutput {
  readonly type: 'cacheonly';
}

export interface ExportOptions {
  /** Names of the image, as users write them. */
  readonly tags: readonly string[];
  readonly outputs: readonly BuildOutput[];
  readonly signal: AbortSignal;
  /** What a destination `-` is; undefined: this process's. A pipe that Node.js has in use can be written to through its stream alone. */
  readonly stdout?: Writable;
}

export interface Exported {
  /** Files and directories, and names in registries. */
  readonly paths: readonly string[];
  /** What the last archive holds, or was pushed last. */
  readonly image: ExportedImage | undefined;
  /** What was asked for and could not be had, a line each. */
  readonly notes: readonly string[];
}

export async function exportBuild(
  workplace: Workplace,
  images: Images,
  result: BuildImages,
  { outputs, signal, stdout, tags }: ExportOptions,
  pushes: PushSteps | undefined,
): Promise<Exported> {
  const paths: string[] = [];
  const notes: string[] = [];
  let image: ExportedImage | undefined;
  for (const output of outputs) {
    signal.throwIfAborted();
    if (output.type === 'cacheonly' || (output.type === 'image' && !output.push)) continue;
    if (output.type === 'image') {
      const { pushBuild } = await import('./push.ts');
      const push: Push = (onEvent) => pushBuild(workplace, images, result, output, tags, signal, onEvent);
      image = await (pushes ? pushes.run(output, push) : push(() => {}));
      paths.push(...image.names.map((name) => `${familiarName(name)} (${image?.descriptor.digest})`));
      continue;
    }
    if (output.type === 'engine') {
      const { handOver } = await import('./engine.ts');
      const handed = await handOver(workplace, images, result, output, tags, signal);
      paths.push(...handed.paths);
      if (handed.note !== undefined) notes.push(handed.note);
      continue;
    }
    if (output.type === 'local') await exportDirectory(workplace, result, output, signal);
    else if (output.type === 'tar') await exportTar(workplace, result, output, signal);
    else image = await exportImage(workplace, images, result, output, tags, stdout);
    if (output.destination !== '-') paths.push(output.destination);
  }
  return { paths, image, notes };
}
