// Puts a file where the user asked for it: it appears whole or not at all, written beside its place and then renamed. What stood there stays until then.

import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { lstat, realpath, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { TbuildError } from '../base/errors.ts';

/** `write` is given a path and how to open it: `wx` for a file that is not there yet, `w` for a device or a pipe, which is never replaced. */
export async function placeFile(destination: string, write: (path: string, flags: 'w' | 'wx') => Promise<void>): Promise<void> {
  await naming(destination, async () => {
    const found = await lstat(destination).catch(() => undefined);
    // Of a link, what it points to is replaced: /dev/stdout may be one to a terminal, or to /dev/null.
    const target = found?.isSymbolicLink() ? await realpath(destination) : destination;
    const there = await lstat(target).catch(() => undefined);
    if (there?.isDirectory()) throw Object.assign(new Error('it is a directory'), { code: 'EISDIR' });
    if (there && !there.isFile()) return write(target, 'w');
    await besides(target, (temporary) => write(temporary, 'wx'));
  });
}

/** A name of its own, which is never too long. */
export const temporaryName = (): string => `.tbuild-${randomUUID()}`;

export async function besides(target: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = join(dirname(target), temporaryName());
  try {
    await write(temporary);
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** What the system refuses becomes `image/cannot-write`. */
export async function naming(destination: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (cause instanceof TbuildError || !code) throw cause;
    const why = code === 'ENOSPC' || code === 'EDQUOT' ? 'no space left on the disk' : message;
    throw new TbuildError('image/cannot-write', `cannot write ${destination}: ${why}`, { cause });
  }
}

/** The directories that a file or directory is to stand in. Not mkdirSync's `recursive`: see `makeFolder` in base/store.ts. */
export function makeParents(path: string): void {
  const parent = dirname(path);
  if (existsSync(parent)) return;
  makeParents(parent);
  try {
    mkdirSync(parent);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw cannotWrite(path, (error as Error).message, error);
  }
}

export function cannotWrite(path: string, why: string, cause: unknown): TbuildError {
  return new TbuildError('image/cannot-write', `cannot write ${path}: ${why}`, { cause });
}
