// What leaves a remote cache: entries by age, then the oldest until the rest fits, and the blobs that no entry names any more. Pure.

import { hexOf } from '../../base/digest.ts';
import type { PruneOptions } from './backend.ts';
import { decodeEntry, decodeMountEntry } from './entry.ts';

export interface KeptEntry {
  /** What its backend removes it by. */
  readonly id: string;
  readonly bytes: number;
  /** Milliseconds since the epoch: last used, or made. */
  readonly used: number;
  /** Undefined: it cannot be read, and goes. */
  readonly text: Buffer | undefined;
}

/** `sizes`: of the blobs that are there, by the hex of their digests. */
export function chooseLeaving(
  entries: readonly KeptEntry[],
  sizes: ReadonlyMap<string, number>,
  { before = Number.NEGATIVE_INFINITY, maxBytes = Number.POSITIVE_INFINITY }: PruneOptions,
): { readonly entries: readonly KeptEntry[]; readonly blobs: ReadonlySet<string> } {
  const named = new Map(entries.map((entry) => [entry, blobsOf(entry)]));
  const leaving: KeptEntry[] = [];
  const kept = new Set<string>();
  let bytes = 0;
  for (const entry of entries.toSorted((a, b) => b.used - a.used)) {
    const blobs = named.get(entry);
    const fresh = blobs?.filter((blob) => !kept.has(blob)) ?? [];
    const size = entry.bytes + fresh.reduce((sum, blob) => sum + (sizes.get(blob) ?? 0), 0);
    if (!blobs || entry.used < before || bytes + size > maxBytes) {
      leaving.push(entry);
      continue;
    }
    bytes += size;
    for (const blob of fresh) kept.add(blob);
  }
  return { entries: leaving, blobs: new Set([...sizes.keys()].filter((blob) => !kept.has(blob))) };
}

function blobsOf({ text }: KeptEntry): string[] | undefined {
  if (text === undefined) return undefined;
  const mount = decodeMountEntry(text, undefined);
  if (typeof mount !== 'string') return [...new Set(mount.chunks.map(({ digest }) => hexOf(digest)))];
  const entry = decodeEntry(text, undefined);
  if (typeof entry === 'string') return undefined;
  return entry.layers.flatMap(({ index, blob }) => [hexOf(index.digest), ...(blob ? [hexOf(blob.digest)] : [])]);
}
