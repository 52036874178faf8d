// Directories that are made once on a machine and shared by its checkouts, each named after all that goes into it. None is ever changed.
import { hash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

/** The directory for what is made of these inputs; `make` makes it (it is not there yet), unseen until it is whole. */
export async function cached(
  name: string,
  inputs: readonly unknown[],
  make: (directory: string) => Promise<void>,
): Promise<string> {
  const cache = path.join(process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache'), 'tbuild-setup');
  const finished = path.join(cache, `${name}-${hash('sha256', JSON.stringify(inputs)).slice(0, 16)}`);
  if (existsSync(finished)) return finished;
  mkdirSync(cache, { recursive: true });
  const temporary = mkdtempSync(path.join(cache, 'tmp-'));
  const made = path.join(temporary, name);
  try {
    await make(made);
    renameSync(made, finished);
  } catch (error) {
    // Another process may have been first; what it made is as good.
    if (!existsSync(finished)) throw error;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return finished;
}
