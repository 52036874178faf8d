// An ELF file as far as it is needed here: where sections are, and which bytes stand at an address (gABI, chapters 4 and 5). Only headers are
// read, by their offsets, so a file of gigabytes costs kilobytes. Numbers in it are anyone's: what does not fit the file is not there.

import type { ImageFile, ImageFiles } from './image-files.ts';

export interface Part {
  /** In the file. */
  readonly offset: number;
  readonly size: number;
}

interface Segment extends Part {
  readonly address: number;
  readonly isWritable: boolean;
}

export interface Elf {
  readonly isLittleEndian: boolean;
  section(name: string): Part | undefined;
  /** The first loaded segment that is written to, where linkers of old put what has no section. */
  readonly data: Part | undefined;
  /** `length` bytes of the file as they are loaded at `address`; undefined: they are not in the file. */
  atAddress(address: number, length: number): Buffer | undefined;
  read(part: Part, start: number, length: number): Buffer;
}

const HEADER_BYTES = 64;
const MAX_TABLE_BYTES = 8 << 20;
const LOADED = 1;
const WRITABLE = 2;
const NO_BITS = 8;

/** Undefined: it is none. */
export function openElf(files: ImageFiles, file: ImageFile): Elf | undefined {
  const header = files.read(file, 0, HEADER_BYTES);
  if (header.length < HEADER_BYTES || header.readUInt32BE(0) !== 0x7f454c46) return undefined;
  const fields = fieldsOf(header[4] === 2, header[5] === 1);
  const readTable = (offset: number, length: number) =>
    length <= MAX_TABLE_BYTES && offset + length <= file.size ? files.read(file, offset, length) : undefined;
  const segments = readSegments(header, fields, readTable);
  const sections = readSections(header, fields, readTable);
  const read = ({ offset, size }: Part, start: number, length: number) =>
    files.read(file, offset + start, Math.max(0, Math.min(length, size - start)));
  return {
    isLittleEndian: fields.isLittleEndian,
    section: (name) => sections.get(name),
    data: segments.find(({ isWritable }) => isWritable),
    read,
    atAddress: (address, length) => {
      const found = segments.find((each) => address >= each.address && address + length <= each.address + each.size);
      const bytes = found && files.read(file, found.offset + address - found.address, length);
      return bytes?.length === length ? bytes : undefined;
    },
  };
}

type Fields = ReturnType<typeof fieldsOf>;
type ReadTable = (offset: number, length: number) => Buffer | undefined;

/** Names of the fields that differ between files of 32 and of 64 bits, as offsets. */
function fieldsOf(is64: boolean, isLittleEndian: boolean) {
  const half = (table: Buffer, at: number) => (isLittleEndian ? table.readUInt16LE(at) : table.readUInt16BE(at));
  const word = (table: Buffer, at: number) => (isLittleEndian ? table.readUInt32LE(at) : table.readUInt32BE(at));
  const wide = (table: Buffer, at: number) => Number(isLittleEndian ? table.readBigUInt64LE(at) : table.readBigUInt64BE(at));
  const address = is64 ? wide : word;
  return is64
    ? ({
        isLittleEndian,
        half,
        word,
        address,
        head: [32, 40, 54],
        segment: [8, 16, 32, 4, 56],
        section: [24, 32, 64],
      } as const)
    : ({
        isLittleEndian,
        half,
        word,
        address,
        head: [28, 32, 42],
        segment: [4, 8, 16, 24, 32],
        section: [16, 20, 40],
      } as const);
}

function readSegments(header: Buffer, { half, word, address, head, segment }: Fields, readTable: ReadTable): Segment[] {
  const [tableAt, , sizesAt] = head;
  const [offsetAt, addressAt, sizeAt, flagsAt, least] = segment;
  const [entrySize, count] = [half(header, sizesAt), half(header, sizesAt + 2)];
  const table = entrySize >= least ? readTable(address(header, tableAt), entrySize * count) : undefined;
  const segments: Segment[] = [];
  for (let at = 0; table && at < table.length; at += entrySize) {
    if (word(table, at) !== LOADED) continue;
    const isWritable = (word(table, at + flagsAt) & WRITABLE) !== 0;
    const part = { offset: address(table, at + offsetAt), size: address(table, at + sizeAt) };
    segments.push({ ...part, address: address(table, at + addressAt), isWritable });
  }
  return segments;
}

function readSections(header: Buffer, { half, word, address, head, section }: Fields, readTable: ReadTable): Map<string, Part> {
  const [, tableAt, sizesAt] = head;
  const [offsetAt, sizeAt, least] = section;
  const [entrySize, count, namesIndex] = [half(header, sizesAt + 4), half(header, sizesAt + 6), half(header, sizesAt + 8)];
  const sections = new Map<string, Part>();
  const table = entrySize >= least ? readTable(address(header, tableAt), entrySize * count) : undefined;
  if (!table || namesIndex >= count) return sections;
  const partAt = (at: number): Part => ({ offset: address(table, at + offsetAt), size: address(table, at + sizeAt) });
  const namesPart = partAt(namesIndex * entrySize);
  const names = readTable(namesPart.offset, namesPart.size);
  for (let at = 0; names && at < table.length; at += entrySize) {
    const start = word(table, at);
    const end = names.indexOf(0, start);
    if (word(table, at + 4) === NO_BITS || start >= names.length || end < 0 || end - start > 100) continue;
    sections.set(names.toString('latin1', start, end), partAt(at));
  }
  return sections;
}
