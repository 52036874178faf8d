// A context that arrives as bytes, from standard input or a file: a tar, or a Dockerfile that has no context. Told by its first bytes.
// A tar that is no file yet goes into one as it comes, never into memory; a Dockerfile into memory, up to a limit.

import { createReadStream, createWriteStream, statSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { TbuildError } from '../base/errors.ts';
import { ARCHIVE_HEAD_BYTES, looksLikeArchive } from './archive-type.ts';

export type ContextInput =
  | { readonly kind: 'archive'; readonly path: string }
  | { readonly kind: 'dockerfile'; readonly bytes: Buffer };

export interface InputOptions {
  /** What messages call it. */
  readonly label: string;
  /** Where a tar goes that comes through a pipe. */
  readonly spool: string;
  readonly signal: AbortSignal;
}

/** No Dockerfile that a person or a program has a use for; a disk image by mistake is more. */
export const DOCKERFILE_MAX_BYTES = 64 << 20;

export const tooLarge = (label: string): TbuildError =>
  new TbuildError('dockerfile/too-large', `${label} is no tar, and has more than the 64 MiB of a Dockerfile`);

export async function readInput(input: Readable, options: InputOptions): Promise<ContextInput> {
  return readChunks(input, undefined, options);
}

export async function readInputFile(path: string, options: InputOptions): Promise<ContextInput> {
  return readChunks(createReadStream(path), statSync(path).isFile() ? path : undefined, options);
}

/** `file`: where the input's bytes are already. */
async function readChunks(
  input: Readable,
  file: string | undefined,
  { label, spool, signal }: InputOptions,
): Promise<ContextInput> {
  const stop = () => input.destroy(signal.reason);
  signal.addEventListener('abort', stop);
  try {
    const chunks = input.iterator({ destroyOnReturn: false }) as AsyncIterableIterator<Buffer>;
    const head = await readHead(chunks);
    if (!looksLikeArchive(head)) return { kind: 'dockerfile', bytes: await readText(head, chunks, label) };
    if (file !== undefined) return { kind: 'archive', path: file };
    await pipeline(prepend(head, chunks), createWriteStream(spool, { flags: 'wx' }), { signal });
    return { kind: 'archive', path: spool };
  } catch (cause) {
    if (cause instanceof TbuildError || signal.aborted) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    const family = code === 'ENOSPC' ? 'store/full' : 'context/unreadable';
    throw new TbuildError(family, `cannot read the build context from ${label}: ${code ?? message}`, { cause });
  } finally {
    signal.removeEventListener('abort', stop);
    input.destroy();
  }
}

async function readHead(chunks: AsyncIterator<Buffer>): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0);
  while (head.length < ARCHIVE_HEAD_BYTES) {
    const { value, done } = await chunks.next();
    if (done) break;
    head = Buffer.concat([head, value]);
  }
  return head;
}

async function readText(head: Buffer, rest: AsyncIterable<Buffer>, label: string): Promise<Buffer> {
  const pieces = [head];
  let sizeBytes = head.length;
  for await (const piece of rest) {
    sizeBytes += piece.length;
    if (sizeBytes > DOCKERFILE_MAX_BYTES) throw tooLarge(label);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

async function* prepend(head: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield head;
  yield* rest;
}
