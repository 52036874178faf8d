// The rows of one table of an SQLite file, read page by page where the file lies (sqlite.org/fileformat2.html). SQLite itself would want a file of
// its own, and would do whatever a schema from outside says: this does nothing but follow page numbers, each at most once.

import type { ImageFile, ImageFiles } from './image-files.ts';

type Value = Buffer | string | number | null;

export class DamagedTable extends Error {}

interface Pages {
  readonly size: number;
  /** What a page has for its own, without what is reserved at its end. */
  readonly usable: number;
  /** From 1; undefined: there is no such page. */
  read(number: number): Buffer;
}

/** Values of each row of `table`, in the order of its columns. Throws DamagedTable. */
export function* readTable(files: ImageFiles, file: ImageFile, table: string): Generator<readonly Value[]> {
  const pages = openPages(files, file);
  for (const [type, name, , root] of readRows(pages, 1, file.size)) {
    if (type !== 'table' || name !== table || typeof root !== 'number') continue;
    yield* readRows(pages, root, file.size);
    return;
  }
}

function openPages(files: ImageFiles, file: ImageFile): Pages {
  const header = files.read(file, 0, 100);
  if (header.length < 100 || header.toString('latin1', 0, 16) !== 'SQLite format 3\0')
    throw new DamagedTable('it is no SQLite file');
  const written = header.readUInt16BE(16);
  const size = written === 1 ? 65_536 : written;
  if (size < 512 || (size & (size - 1)) !== 0) throw new DamagedTable(`its pages have ${size} bytes`);
  const read = (number: number): Buffer => {
    const page = files.read(file, (number - 1) * size, size);
    if (number < 1 || page.length < size) throw new DamagedTable(`it has no page ${number}`);
    return page;
  };
  return { size, usable: size - (header[20] as number), read };
}

const MAX_ROWS = 1_000_000;
const LEAF = 13;
const INTERIOR = 5;

/** `maxBytes`: of all rows together, which cannot have more than the file unless they share pages. */
function* readRows(pages: Pages, root: number, maxBytes: number): Generator<readonly Value[]> {
  const seen = new Set<number>();
  const todo = [root];
  let bytes = 0;
  let rows = 0;
  for (let number = todo.pop(); number !== undefined; number = todo.pop()) {
    if (seen.has(number)) throw new DamagedTable(`its page ${number} is in two places`);
    seen.add(number);
    const page = pages.read(number);
    const start = number === 1 ? 100 : 0;
    const isLeaf = page[start] === LEAF;
    if (!isLeaf && page[start] !== INTERIOR) throw new DamagedTable(`its page ${number} is of no table`);
    const cells = cellsOf(page, start, isLeaf);
    if (!isLeaf) {
      const children = cells.map((at) => uint32(page, at));
      todo.push(...[...children, uint32(page, start + 8)].reverse());
      continue;
    }
    for (const at of cells) {
      if (++rows > MAX_ROWS) throw new DamagedTable(`it has more than ${MAX_ROWS} rows`);
      const payload = readPayload(pages, page, at, maxBytes - bytes);
      bytes += payload.length;
      yield readRecord(payload);
    }
  }
}

/** Where the cells of a page begin. */
function cellsOf(page: Buffer, start: number, isLeaf: boolean): number[] {
  const first = start + (isLeaf ? 8 : 12);
  const count = page.readUInt16BE(start + 3);
  if (first + 2 * count > page.length) throw new DamagedTable('a page has more cells than fit');
  return Array.from({ length: count }, (_, position) => page.readUInt16BE(first + 2 * position));
}

/** A leaf's cell: how long, the row's number, the beginning, and the page where it goes on. */
function readPayload(pages: Pages, page: Buffer, cell: number, maxBytes: number): Buffer {
  const [length, afterLength] = varint(page, cell);
  const [, start] = varint(page, afterLength);
  if (length > maxBytes) throw new DamagedTable('its rows have more bytes than it has');
  const local = localBytes(length, pages.usable);
  const pieces = [slice(page, start, local)];
  let missing = length - local;
  let next = missing > 0 ? uint32(page, start + local) : 0;
  while (missing > 0) {
    const overflow = pages.read(next);
    const piece = slice(overflow, 4, Math.min(missing, pages.usable - 4));
    pieces.push(piece);
    missing -= piece.length;
    next = uint32(overflow, 0);
  }
  return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
}

/** How much of a payload stands in the cell itself (fileformat2, 1.6). */
function localBytes(length: number, usable: number): number {
  if (length <= usable - 35) return length;
  const least = Math.floor(((usable - 12) * 32) / 255) - 23;
  const fitting = least + ((length - least) % (usable - 4));
  return fitting <= usable - 35 ? fitting : least;
}

function readRecord(payload: Buffer): Value[] {
  const [headerLength, first] = varint(payload, 0);
  const values: Value[] = [];
  let body = headerLength;
  for (let at = first; at < headerLength; ) {
    const [serial, next] = varint(payload, at);
    const length = serialBytes(serial);
    values.push(decode(serial, slice(payload, body, length)));
    body += length;
    at = next;
  }
  return values;
}

const serialBytes = (serial: number): number =>
  serial >= 12 ? Math.floor((serial - 12) / 2) : ([0, 1, 2, 3, 4, 6, 8, 8, 0, 0][serial] ?? 0);

/** Fractions and integers of eight bytes are no concern here. */
function decode(serial: number, bytes: Buffer): Value {
  if (serial >= 12) return serial % 2 === 0 ? bytes : bytes.toString();
  if (serial >= 1 && serial <= 5) return bytes.readIntBE(0, bytes.length);
  return serial === 8 ? 0 : serial === 9 ? 1 : null;
}

function slice(bytes: Buffer, start: number, length: number): Buffer {
  if (start + length > bytes.length) throw new DamagedTable('a row leads out of its page');
  return bytes.subarray(start, start + length);
}

function uint32(bytes: Buffer, at: number): number {
  return slice(bytes, at, 4).readUInt32BE();
}

/** Seven bits of each byte, the highest first; what needs more than five is too large for anything here. */
function varint(bytes: Buffer, start: number): readonly [value: number, end: number] {
  let value = 0;
  for (let at = start; at < start + 9; at++) {
    const byte = bytes[at];
    if (byte === undefined) break;
    if (at === start + 8) return [value * 256 + byte, at + 1];
    value = value * 128 + (byte & 0x7f);
    if (byte < 0x80) return [value, at + 1];
  }
  throw new DamagedTable('a number leads out of its page');
}
