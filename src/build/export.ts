// `--output`: what a build made, written to where it was asked for. Loaded only when something is to be written.

import type { Image, ImageIndex } from '../images/image.ts';
import { saveImages } from '../images/save.ts';
import type { Images } from '../images/store.ts';
import type { Platform } from '../oci/config.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { State } from '../steps/step.ts';

export interface BuildOutput {
  readonly type: 'oci' | 'docker';
  /** A file, a directory when `tar` is false; `-`: standard output. */
  readonly destination: string;
  readonly tar: boolean;
  readonly name?: string;
}

/** What a build made for one platform: it is in the store already. */
export interface BuiltImage {
  readonly platform: Platform;
  readonly image: Image;
  /** Its layers, bottom first. */
  readonly state: State;
}

/** `index`: what holds all of `built`, where that was wanted. Returns the files and directories that were written. */
export async function exportBuild(
  workplace: Workplace,
  images: Images,
  built: readonly BuiltImage[],
  outputs: readonly BuildOutput[],
  index: ImageIndex | undefined,
): Promise<string[]> {
  for (const { type, destination, tar, name } of outputs) {
    const names = index ? [name ?? index.id] : built.map(({ image }) => name ?? image.id);
    await saveImages(workplace, images, names, {
      format: type,
      destination,
      directory: !tar,
      compression: type === 'oci' ? 'gzip' : 'none',
    });
  }
  return outputs.map(({ destination }) => destination).filter((destination) => destination !== '-');
}
