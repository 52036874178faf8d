// Where the digests of a context's unchanged files are kept from one build to the next: one file a context, named by its path.
// The native scan reads and writes it; losing one costs the next build the time to read the files again.

import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { hexOf, sha256 } from '../base/digest.ts';

/** Contexts in temporary folders come and go: beyond the first number, the oldest go until the second is left. */
const MANY = 200;
const KEEP = 100;

/** `folder`: the store's; made when it is missing. */
export function statCachePath(folder: string, root: string): string {
  mkdirSync(folder, { recursive: true });
  const names = readdirSync(folder);
  if (names.length > MANY) dropOldest(folder, names);
  return join(folder, `${hexOf(sha256(root))}.stat`);
}

function dropOldest(folder: string, names: readonly string[]): void {
  const aged = names.map((name) => ({
    path: join(folder, name),
    mtimeMs: statSync(join(folder, name), { throwIfNoEntry: false })?.mtimeMs ?? 0,
  }));
  aged.sort((a, b) => b.mtimeMs - a.mtimeMs);
  for (const { path } of aged.slice(KEEP)) rmSync(path, { force: true });
}
