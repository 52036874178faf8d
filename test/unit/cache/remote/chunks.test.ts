import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { cutChunks } from '../../../../src/cache/remote/chunks.ts';

/** Bytes that look random and are always the same. */
function bytesOf(seed: string, length: number): Buffer {
  const blocks: Buffer[] = [];
  for (let at = 0; at * 32 < length; at++) blocks.push(createHash('sha256').update(`${seed} ${at}`).digest());
  return Buffer.concat(blocks).subarray(0, length);
}

async function cut(bytes: Buffer, pieceBytes: number): Promise<Buffer[]> {
  async function* pieces() {
    for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
  }
  const chunks: Buffer[] = [];
  for await (const chunk of cutChunks(pieces())) chunks.push(chunk);
  return chunks;
}

const digests = (chunks: readonly Buffer[]) => chunks.map((chunk) => createHash('sha256').update(chunk).digest('hex'));

test('the cuts are where the content says so, however it arrives', async () => {
  const bytes = bytesOf('a', 12 << 20);
  const chunks = await cut(bytes, 1 << 20);
  expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
  expect(digests(await cut(bytes, 77_777))).toEqual(digests(chunks));
  expect(chunks.length).toBeGreaterThan(4);
  expect(chunks.slice(0, -1).every(({ length }) => length >= 256 << 10 && length <= 4 << 20)).toBe(true);
});

test('an insertion changes the chunks around it and no others', async () => {
  const bytes = bytesOf('b', 16 << 20);
  const changed = Buffer.concat([bytes.subarray(0, 5 << 20), Buffer.from('inserted'), bytes.subarray(5 << 20)]);
  const before = new Set(digests(await cut(bytes, 1 << 20)));
  const after = digests(await cut(changed, 1 << 20));
  expect(after.filter((digest) => !before.has(digest)).length).toBeLessThanOrEqual(2);
});

test('what has no cuts of its own is cut at the most', async () => {
  expect((await cut(Buffer.alloc(9 << 20), 1 << 20)).map(({ length }) => length)).toEqual([4 << 20, 4 << 20, 1 << 20]);
  expect(await cut(Buffer.alloc(0), 1)).toEqual([]);
});
