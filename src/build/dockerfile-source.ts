// Where the Dockerfile's text comes from: a file named by `-f`, standard input, or the context. Reads it once; parses nothing.

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TbuildError } from '../base/errors.ts';

export interface DockerfileSource {
  readonly bytes: Buffer;
  /** As messages call it. */
  readonly name: string;
  /** Its path; undefined: from standard input. */
  readonly path: string | undefined;
  /** Bytes of the lock beside it; unset: there is none. */
  readonly lock?: Buffer | undefined;
}

export function readStandardInput(): DockerfileSource {
  return { bytes: readFileSync(0), name: 'Dockerfile', path: undefined };
}

export function readDockerfile(context: string, dockerfile: string | undefined): DockerfileSource {
  if (dockerfile === '-') return readStandardInput();
  const candidates = dockerfile === undefined ? [join(context, 'Dockerfile'), join(context, 'dockerfile')] : [dockerfile];
  for (const path of candidates) {
    try {
      // Who names a FIFO has it written, as with <(…); a context has none to wait for.
      if (dockerfile !== undefined || statSync(path).isFile())
        return { bytes: readFileSync(path), name: path, path, lock: readLock(lockPath(path)) };
      throw new TbuildError('dockerfile/unreadable', `cannot read the Dockerfile ${path}: it is no file`);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (cause instanceof TbuildError) throw cause;
      if (code !== 'ENOENT')
        throw new TbuildError('dockerfile/unreadable', `cannot read the Dockerfile ${path}: ${code}`, { cause });
    }
  }
  throw new TbuildError('dockerfile/not-found', `there is no Dockerfile at ${candidates[0]}`, {
    hint: 'name it with -f, or give the directory that holds it as the context',
  });
}

export const lockPath = (dockerfile: string): string => `${dockerfile}.lock`;

function readLock(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new TbuildError('dockerfile/bad-lock', `cannot read ${path}: ${code}`, { cause });
  }
}
