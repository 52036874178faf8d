// Records of builds in which everything was cached. They wait in a file until somebody reads or writes the records: a line at its end waits for no
// disk, a transaction does. A line that was cut short by a power cut is no record, and left out.

import { appendFileSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Database } from '../base/database.ts';
import { type BuildRecord, storeBuild } from './builds.ts';

/** The file's name in the store. */
export const PENDING_BUILDS = 'pending-builds';

/** More than this is brought in by who would add to it. */
const MAX_BYTES = 1 << 20;

/** False: there is no room. `file`: in the store; others may be adding to it. */
export function addPending(file: string, build: BuildRecord): boolean {
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > MAX_BYTES) return false;
  // One write at the file's end: lines of two processes do not mix.
  appendFileSync(file, `${JSON.stringify(build)}\n`, { mode: 0o600 });
  return true;
}

/** Brings what waits into the records, in its order. A kill on the way loses none of it: what is stored twice is the same. */
export function bringIn(db: Database, file: string): void {
  try {
    renameSync(file, `${file}.${process.pid}-${Date.now()}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const taken = readdirSync(dirname(file)).filter((name) => name.startsWith(`${basename(file)}.`));
  for (const name of taken.sort()) {
    const path = join(dirname(file), name);
    const builds = readLines(path);
    db.immediate(() => {
      for (const build of builds) storeBuild(db, build);
    });
    rmSync(path, { force: true });
  }
}

function readLines(path: string): BuildRecord[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return []; // Another process was first.
  }
  return text.split('\n').flatMap((line) => {
    try {
      return line === '' ? [] : [JSON.parse(line) as BuildRecord];
    } catch {
      return [];
    }
  });
}
