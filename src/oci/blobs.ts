// The store's blobs/sha256: what was pulled, loaded or pushed, under the digest of its bytes. Written under another name, checked, renamed.
// A blob may vanish at any time (pruning takes them first), so whoever reads one is ready for its absence.

import { randomUUID } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { type Digest, hexOf, sha256 } from '../base/digest.ts';
import type { Store } from '../base/store.ts';

export class Blobs {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  path(digest: Digest): string {
    return this.#store.path('blobs/sha256', hexOf(digest));
  }

  /** `sizeBytes` guards against what a power cut leaves: a name with fewer bytes. */
  has(digest: Digest, sizeBytes?: number): boolean {
    const found = statSync(this.path(digest), { throwIfNoEntry: false });
    return found !== undefined && (sizeBytes === undefined || found.size === sizeBytes);
  }

  /** A document; undefined: not here, or damaged. It is read whole. */
  readIfWhole(digest: Digest, limitBytes: number): Buffer | undefined {
    const found = statSync(this.path(digest), { throwIfNoEntry: false });
    if (!found || found.size > limitBytes) return undefined;
    const bytes = readFileSync(this.path(digest));
    return sha256(bytes) === digest ? bytes : undefined;
  }

  /** Keeps a document. */
  write(bytes: Uint8Array): Digest {
    const digest = sha256(bytes);
    if (this.has(digest, bytes.length)) return digest;
    const temporary = this.#store.path('tmp', `blob-${randomUUID()}`);
    try {
      const fd = openSync(temporary, 'wx');
      try {
        for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(temporary, this.path(digest));
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
    return digest;
  }

  /** Takes over a file of the same file system whose digest the caller has checked. */
  adopt(file: string, digest: Digest): void {
    if (existsSync(file)) renameSync(file, this.path(digest));
  }

  remove(digest: Digest): void {
    rmSync(this.path(digest), { force: true });
  }
}
