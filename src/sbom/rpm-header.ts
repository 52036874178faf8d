// The header of an installed rpm package (rpm: docs/manual/hregions.md, lib/header.c): how many tags, how many bytes, 16 bytes for each tag, and the
// bytes that they point into. Only the first value of a tag is taken.

export const tags = {
  name: 1000,
  version: 1001,
  release: 1002,
  epoch: 1003,
  summary: 1004,
  vendor: 1011,
  license: 1014,
  url: 1020,
  arch: 1022,
} as const;

const WANTED: ReadonlySet<number> = new Set(Object.values(tags));
const ENTRY_BYTES = 16;
const INT32 = 4;
/** STRING, STRING_ARRAY, I18NSTRING. */
const TEXTS: ReadonlySet<number> = new Set([6, 8, 9]);

/** Undefined: it is no header, or not whole. */
export function readHeader(blob: Buffer): ReadonlyMap<number, string> | undefined {
  if (blob.length < 8) return undefined;
  const [count, dataLength] = [blob.readUInt32BE(0), blob.readUInt32BE(4)];
  const start = 8 + count * ENTRY_BYTES;
  if (start + dataLength > blob.length) return undefined;
  const data = blob.subarray(start, start + dataLength);
  const values = new Map<number, string>();
  for (let at = 8; at < start; at += ENTRY_BYTES) {
    const [tag, type, offset] = [blob.readUInt32BE(at), blob.readUInt32BE(at + 4), blob.readUInt32BE(at + 8)];
    const value = WANTED.has(tag) ? readValue(data, type, offset) : undefined;
    if (value !== undefined && value !== '') values.set(tag, value);
  }
  return values;
}

function readValue(data: Buffer, type: number, offset: number): string | undefined {
  if (type === INT32) return offset + 4 <= data.length ? String(data.readUInt32BE(offset)) : undefined;
  const end = TEXTS.has(type) && offset < data.length ? data.indexOf(0, offset) : -1;
  return end < 0 ? undefined : data.toString('utf8', offset, end);
}
