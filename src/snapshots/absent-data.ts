// Where the data of a layer can be had whose index alone is here: the blob that it is to others, and the places that have it.
// A part of the layer's record, without secrets; who fetches it is src/cache.

import type { Descriptor } from '../oci/descriptor.ts';

/** A place of a remote cache, as `--cache-from` and `--cache-to` name them, or a repository of images. */
export type CacheAddress =
  | { readonly type: 'registry'; readonly repository: string }
  | { readonly type: 'local'; readonly directory: string }
  | {
      readonly type: 's3';
      readonly bucket: string;
      readonly region: string;
      /** Before the names of all objects; empty, or with a slash at its end. */
      readonly prefix: string;
      /** Undefined: Amazon's own. */
      readonly endpoint?: string;
      readonly isPathStyle: boolean;
    }
  | { readonly type: 'gha'; readonly url: string; readonly scope: string };

export interface AbsentData {
  readonly blob: Descriptor;
  readonly places: readonly CacheAddress[];
  /** Others made it: its tar has a framing to be kept. */
  readonly isForeign: boolean;
}

export function parseAbsent(text: string): AbsentData {
  return JSON.parse(text) as AbsentData;
}
