// What a build made, for whoever writes it somewhere. Types only.

import type { Image, ImageIndex } from '../../images/image.ts';
import type { Platform } from '../../oci/config.ts';
import type { State } from '../../steps/step.ts';

/** It is in the store already. */
export interface BuiltImage {
  readonly platform: Platform;
  readonly image: Image;
  /** Its layers, bottom first. */
  readonly state: State;
  /** SOURCE_DATE_EPOCH, in seconds. */
  readonly epoch?: number;
}

export interface BuildImages {
  /** One for each platform. */
  readonly built: readonly BuiltImage[];
  /** What holds all of them, where that was wanted: it is in the store too. */
  readonly index: ImageIndex | undefined;
}
