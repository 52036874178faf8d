// What a remote cache is, whatever it is kept in: entries that are found by what a step was told and took as a whole, and blobs by their digests.
// Nothing is ever changed there: what is written has a name of its own, so that any number of builds add to one cache at the same time.
// Nothing that is read from one is believed here: entries are checked by who asks for them, blobs by their digests.

import type { Digest } from '../../base/digest.ts';
import { TbuildError } from '../../base/errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { CacheAddress } from '../../snapshots/absent-data.ts';

/** What an entry is found by, and what tells it from others that are found by the same. */
export interface EntryName {
  /** The step key. */
  readonly key: Digest;
  /** Digest of what the step took as a whole. */
  readonly exact: Digest;
  readonly trace: Digest;
}

export interface PruneOptions {
  /** Milliseconds since the epoch: entries that were not used, or where nobody knows made, since then go. */
  readonly before?: number;
  /** Then the oldest, until the rest has no more than this. */
  readonly maxBytes?: number;
}

export interface Pruned {
  readonly entries: number;
  readonly blobs: number;
  readonly freedBytes: number;
  readonly keptBytes: number;
}

export interface Backend {
  /** As messages name it. */
  readonly label: string;
  readonly address: CacheAddress;
  /** Those whose traces sort last come first, or the newest. */
  find(key: Digest, exact: Digest): AsyncIterable<Buffer>;
  /** Of several entries with one key and the same exact inputs it finds the newest alone: another name for each is worth its place. */
  readonly findsNewestOnly?: true;
  has(name: EntryName): Promise<boolean>;
  /** `blobs`: what the entry names, all of it there already. */
  put(name: EntryName, entry: Buffer, blobs: readonly Descriptor[]): Promise<void>;
  hasBlob(blob: Descriptor): Promise<boolean>;
  /** Neither its digest nor its size is checked. Throws where it is not there. */
  openBlob(blob: Descriptor): AsyncIterable<Buffer>;
  putBlob(blob: Descriptor, source: BlobContent): Promise<void>;
  prune(options: PruneOptions): Promise<Pruned>;
  close(): Promise<void>;
}

export type BlobContent =
  | { readonly bytes: Buffer }
  | { readonly file: string }
  | { readonly chunks: () => AsyncIterable<Buffer> };

/** What an entry names and is not there, or is something else: the entry is not to be used. */
export function faulty(what: string, cause?: unknown): TbuildError {
  return new TbuildError('store/cache-entry', what, { cause });
}

/** So many entries are looked at for one step. */
export const ENTRIES_MAX = 32;
export const ENTRY_BYTES_MAX = 8 << 20;
