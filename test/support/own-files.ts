// Stores hold files of an account's further ids, where it is not root's: what is done with them outside of tbuild is done here.
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { userInfo } from 'node:os';
import path from 'node:path';

export const isRoot = process.getuid?.() === 0;

export function removeTree(root: string): void {
  if (isRoot) rmSync(root, { recursive: true, force: true });
  else execFileSync(path.join(import.meta.dirname, '../../dist/tbuild-runner'), ['remove', root]);
}

/** As root of a user namespace with the map that tbuild makes, if there is more than one id in it: what the command prints. */
export function asOwner(command: string, args: readonly string[]): string {
  const hasIds = !isRoot && new RegExp(`^${userInfo().username}:`, 'm').test(readFileSync('/etc/subuid', 'utf8'));
  const [file, words] = hasIds ? ['unshare', ['--user', '--map-root-user', '--map-auto', command, ...args]] : [command, args];
  return execFileSync(file, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
