// What a build made, for whoever writes it somewhere. Types only.

import type { Predicate } from '../../images/attestations.ts';
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
  /** What is to be said of it beside it. */
  readonly said?: readonly Said[];
}

export interface Said {
  readonly predicate: Predicate;
  /** The file that says it in outputs of files. */
  readonly filename: string;
  /** It is in no output of files. */
  readonly isInlineOnly: boolean;
}

export interface BuildImages {
  /** One for each platform. */
  readonly built: readonly BuiltImage[];
  /** What holds all of them, where that was wanted, or something is said of them: it is in the store too. */
  readonly index: ImageIndex | undefined;
  /** They are for several platforms, be it for one of several. */
  readonly isForSeveral: boolean;
}
