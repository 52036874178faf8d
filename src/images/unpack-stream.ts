// A layer's blob that is unpacked while it arrives: what comes goes to a FIFO that the helper reads from, which keeps the blob besides. Nothing is
// checked here but that the helper could read it. Loaded when something is pulled.

import { constants, openSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
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
    .call('unpack', { driver: place.driver.driver, out, archive: fifo, keep: file, whiteouts: true, split, ...options })
    .catch((failure: unknown) => ({ failure }))
    .finally(() => {
      hasEnded = true;
    });
  const reader = await openFifo(fifo, () => hasEnded);
  rmSync(fifo, { force: true });
  try {
    if (reader) await copyTo(reader, chunks);
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

/** What a reader that is gone does not take is not missed. */
async function copyTo(reader: Socket, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of chunks) {
    if (!reader.writable) return;
    reader.write(chunk);
    if (reader.writableLength >= AHEAD_BYTES) await room(reader);
  }
}

/** It runs ahead of the helper by so much, so that neither waits for a single chunk. */
const AHEAD_BYTES = 2 << 20;

/** When there is some again, or never will be. */
function room(reader: Socket): Promise<void> {
  if (reader.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const go = (): void => {
      reader.off('drain', go).off('close', go);
      resolve();
    };
    reader.on('drain', go).on('close', go);
  });
}
