// A layer's blob that is unpacked while it arrives: what comes is written to a file, to be kept, and to a FIFO that the helper reads from. Both wait
// for the slower. Nothing is checked here but that the helper could read it. Loaded when something is pulled.

import { constants, createWriteStream, openSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { UnpackedLayer } from '../native/serve.ts';
import type { Workplace } from '../snapshots/workplace.ts';

export interface UnpackedStream {
  /** The whole blob, whatever came of unpacking it. */
  readonly file: string;
  readonly out: string;
  /** What the helper made of it, or why it could not. */
  readonly unpacked: UnpackedLayer | { readonly failure: unknown };
}

export interface StreamOptions {
  readonly maxBytes: number;
  /** Unset: the tar's framing is kept. */
  readonly split?: boolean;
  /** The index that the layer must have, but for where its contents are. */
  readonly like?: string;
}

/** In a folder of its own. Rejects with what `chunks` throws, once nothing is going on any more. */
export async function unpackStream(
  place: Workplace,
  folder: string,
  chunks: AsyncIterable<Uint8Array>,
  { split = true, ...options }: StreamOptions,
): Promise<UnpackedStream> {
  const [fifo, file, out] = [join(folder, 'fifo'), join(folder, 'blob'), join(folder, 'layer')];
  await place.serve.call('fifo', { path: fifo });
  let hasEnded = false;
  const unpacking = place.serve
    .call('unpack', { driver: place.driver.driver, out, archive: fifo, whiteouts: true, split, ...options })
    .catch((failure: unknown) => ({ failure }))
    .finally(() => {
      hasEnded = true;
    });
  const reader = await openFifo(fifo, () => hasEnded);
  rmSync(fifo, { force: true });
  try {
    await copyTo(file, reader, chunks);
  } catch (error) {
    reader?.destroy();
    await unpacking;
    throw error;
  }
  reader?.end();
  return { file, out, unpacked: await unpacking };
}

/** A write that waits for its reader would hold one of Node's few threads; undefined: the reader ended before it opened its end. */
async function openFifo(path: string, hasEnded: () => boolean): Promise<Socket | undefined> {
  while (!hasEnded()) {
    try {
      const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
      // The helper may stop reading at any time; it says itself why.
      return new Socket({ fd, readable: false, writable: true }).on('error', () => {});
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error;
      await sleep(1);
    }
  }
  return undefined;
}

/** Both run ahead of the slower by `AHEAD_BYTES`, so that nobody waits for a single chunk to be written. */
async function copyTo(path: string, reader: Socket | undefined, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600 });
  const written = finished(file);
  // It is waited for at the end; until then `room` sees that it failed.
  written.catch(() => {});
  try {
    for await (const chunk of chunks) {
      file.write(chunk);
      // What a reader that is gone does not take is not missed.
      if (reader?.writable) reader.write(chunk);
      await Promise.all([room(file), reader && room(reader)]);
      if (file.errored) throw file.errored;
    }
  } catch (error) {
    file.destroy();
    throw error;
  }
  file.end();
  await written;
}

const AHEAD_BYTES = 2 << 20;

/** When there is some again, or never will be. */
function room(stream: Writable): Promise<void> | undefined {
  if (stream.writableLength < AHEAD_BYTES || stream.destroyed) return undefined;
  return new Promise((resolve) => {
    const go = (): void => {
      stream.off('drain', go).off('close', go);
      resolve();
    };
    stream.on('drain', go).on('close', go);
  });
}
