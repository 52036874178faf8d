// Where the bytes of a blob come from that goes up to a registry: a file, a file that is still being written, another repository. They can be had again
// from anywhere, so that an upload that broke off goes on where it stopped. Digests are not checked: the registry that is given a blob does.

import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Repository } from './repository.ts';

export interface BlobSource {
  /** What it is; undefined: nobody can tell before it is whole. */
  readonly known: Descriptor | undefined;
  /** Resolves when it is whole, and rejects when it will not be. Asking begins what has to be made. */
  readonly whole: Promise<Descriptor>;
  /** `end` is not among them; unset: all there are, and will be. */
  read(start: number, end?: number): AsyncIterable<Buffer>;
  /** Resolves to how many there are, as soon as that is `sizeBytes`, or it is whole. */
  waitFor(sizeBytes: number): Promise<number>;
}

const READ_BYTES = 1 << 20;

export function fileSource(descriptor: Descriptor, path: string): BlobSource {
  return {
    ...wholeSource(descriptor),
    read: (start, end = descriptor.size) =>
      start >= end ? empty() : createReadStream(path, { start, end: end - 1, highWaterMark: READ_BYTES }),
  };
}

export function bytesSource(descriptor: Descriptor, bytes: Buffer): BlobSource {
  return { ...wholeSource(descriptor), read: (start, end) => only(bytes.subarray(start, end)) };
}

export function farSource(descriptor: Descriptor, repository: Repository): BlobSource {
  return { ...wholeSource(descriptor), read: (start, end) => upTo(repository.openBlob(descriptor, start), start, end) };
}

/** What can be read from its beginning only, as often as need be. */
export function streamSource(descriptor: Descriptor, open: () => AsyncIterable<Buffer>): BlobSource {
  return { ...wholeSource(descriptor), read: (start, end) => upTo(from(open(), start), start, end) };
}

async function* from(chunks: AsyncIterable<Buffer>, start: number): AsyncGenerator<Buffer> {
  let skip = start;
  for await (const chunk of chunks) {
    const wanted = chunk.subarray(Math.min(skip, chunk.length));
    skip -= chunk.length - wanted.length;
    if (wanted.length > 0) yield wanted;
  }
}

function wholeSource(known: Descriptor): Omit<BlobSource, 'read'> {
  return { known, whole: Promise.resolve(known), waitFor: async () => known.size };
}

async function* empty(): AsyncGenerator<Buffer> {}

async function* only(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

async function* upTo(chunks: AsyncIterable<Buffer>, start: number, end: number | undefined): AsyncGenerator<Buffer> {
  let at = start;
  for await (const chunk of chunks) {
    const wanted = end === undefined ? chunk : chunk.subarray(0, end - at);
    at += wanted.length;
    if (wanted.length > 0) yield wanted;
    if (at === end) return;
  }
}

const POLL_MS = 5;

/** `make` appends to `path`, which may not be there yet. It is begun when the first bytes are asked for. */
export function growingSource(path: string, make: () => Promise<Descriptor>): BlobSource {
  let making: Promise<Descriptor> | undefined;
  let hasEnded = false;
  const end = () => {
    hasEnded = true;
  };
  const begin = (): Promise<Descriptor> => {
    if (!making) {
      making = make();
      making.then(end, end);
    }
    return making;
  };
  const sizeNow = async (file: FileHandle) => (await file.stat()).size;

  const openWhenThere = async (): Promise<FileHandle> => {
    const whole = begin();
    for (;;) {
      const isLast = hasEnded;
      try {
        return await open(path, 'r');
      } catch (error) {
        if (isLast) await whole;
        if (isLast || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        await sleep(POLL_MS);
      }
    }
  };

  async function* read(start: number, limit = Number.POSITIVE_INFINITY): AsyncGenerator<Buffer> {
    const file = await openWhenThere();
    try {
      for (let at = start; at < limit; ) {
        // Asked before the file is: what is written between the two is there.
        const isLast = hasEnded;
        const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, limit - at));
        const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
        at += bytesRead;
        if (bytesRead > 0) yield buffer.subarray(0, bytesRead);
        else if (isLast) break;
        else await sleep(POLL_MS);
      }
      if (hasEnded) await making;
    } finally {
      await file.close();
    }
  }

  const waitFor = async (sizeBytes: number): Promise<number> => {
    const file = await openWhenThere();
    try {
      for (;;) {
        const isLast = hasEnded;
        const size = await sizeNow(file);
        if (isLast) await making;
        if (isLast || size >= sizeBytes) return size;
        await sleep(POLL_MS);
      }
    } finally {
      await file.close();
    }
  };
  return {
    known: undefined,
    get whole() {
      return begin();
    },
    read,
    waitFor,
  };
}
