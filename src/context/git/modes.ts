// `--context-modes=git`: the modes that git has for the files it tracks in a directory, whatever umask and checkout made of them. What is not tracked is
// not here. Loaded only with that flag; the repository is only asked for its index, and nothing of it is executed.

import { statSync } from 'node:fs';
import { join } from 'node:path';
import { TbuildError } from '../../base/errors.ts';
import { type GitAccess, runGit } from './command.ts';

/** Of files and of the directories that lead to them, by path; the root is `''`. */
export type TrackedModes = ReadonlyMap<string, number>;

const MAX_DEPTH = 16;

/** Throws `context/no-work-tree`. */
export async function readTrackedModes(root: string, signal: AbortSignal): Promise<TrackedModes> {
  const access: GitAccess = { secret: () => undefined, sshSocket: undefined, knownHosts: '/dev/null', signal };
  const modes = new Map<string, number>();
  await addTracked(modes, access, root, '', MAX_DEPTH);
  return modes;
}

async function addTracked(
  modes: Map<string, number>,
  access: GitAccess,
  root: string,
  below: string,
  depth: number,
): Promise<void> {
  const directory = join(root, below);
  for (const line of (await listIndex(access, directory)).split('\0')) {
    // mode, object, stage, a tab, the path
    const [, mode, name] = /^(\d{6}) [0-9a-f]+ \d\t(.+)$/s.exec(line) ?? [];
    if (mode === undefined || name === undefined) continue;
    const path = join(below, name);
    if (mode === '160000') {
      if (depth > 0 && isCheckedOut(join(root, path))) await addTracked(modes, access, root, path, depth - 1);
      continue;
    }
    // Links have no mode of their own.
    if (mode !== '120000') modes.set(path, mode === '100755' ? 0o755 : 0o644);
    for (let at = parentOf(path); !modes.has(at); at = parentOf(at)) modes.set(at, 0o755);
  }
}

async function listIndex(access: GitAccess, directory: string): Promise<string> {
  try {
    return await runGit(access, { directory }, ['ls-files', '--stage', '-z']);
  } catch (error) {
    if (!(error instanceof TbuildError)) throw error;
    if (error.code === 'context/git-missing')
      throw new TbuildError(error.code, '--context-modes=git asks git, which is not installed', { cause: error });
    if (error.code !== 'context/git') throw error;
    throw new TbuildError(
      'context/no-work-tree',
      `--context-modes=git, but git tracks nothing in ${directory}: ${error.message}`,
      {
        cause: error,
        hint: 'leave the flag out, and the modes of the files count as they are',
      },
    );
  }
}

const isCheckedOut = (path: string): boolean => statSync(join(path, '.git'), { throwIfNoEntry: false }) !== undefined;

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));
