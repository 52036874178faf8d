// Cuts a stream where its content says so, so that a change moves the cuts around it and no others: a rolling hash of the last 32 bytes ("gear", as in
// FastCDC, Xia et al. 2016). The table is part of the format: with another one nothing would be found again. Pure.

import { createHash } from 'node:crypto';

const MIN_BYTES = 256 << 10;
const MAX_BYTES = 4 << 20;
/** Twenty bits: beyond the least, a cut comes after 1 MiB on the average. */
const MASK = 0xfffff000 | 0;

const GEAR = Int32Array.from({ length: 256 }, (_, byte) =>
  createHash('sha256').update(`tbuild gear ${byte}`).digest().readInt32LE(0),
);

export async function* cutChunks(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let bytes = 0;
  let hash = 0;
  for await (const piece of stream) {
    let start = 0;
    for (let at = 0; at < piece.length; at++) {
      hash = ((hash << 1) + (GEAR[piece[at] as number] as number)) | 0;
      bytes += 1;
      if (bytes < MIN_BYTES || ((hash & MASK) !== 0 && bytes < MAX_BYTES)) continue;
      held.push(piece.subarray(start, at + 1));
      yield Buffer.concat(held);
      held = [];
      [start, bytes, hash] = [at + 1, 0, 0];
    }
    // The stream may use its memory again.
    held.push(Buffer.from(piece.subarray(start)));
  }
  if (bytes > 0) yield Buffer.concat(held);
}
