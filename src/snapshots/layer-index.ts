// Reads an index file (docs/native.md): the sorted list of what a layer or a scanned context holds.
// Nothing is decoded before it is asked for, so opening one costs the read of the file.

import { isAscii, isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { TbuildError } from '../base/errors.ts';
import type { EntryType } from '../native/serve.ts';

const MAGIC = Buffer.from('TBINDEX\0', 'latin1');
const ENTRY_SIZE = 120;
const TYPES: readonly (EntryType | undefined)[] = [
  undefined,
  'file',
  'dir',
  'symlink',
  'char',
  'block',
  'fifo',
  'socket',
  'whiteout',
];

export interface Entry {
  /** Which of a tree's indexes it is from, counted from the bottom; 0 for an index that stands alone. */
  readonly layer: number;
  /** Relative, no leading slash; the root is ''. */
  readonly path: string;
  readonly type: EntryType;
  readonly implied: boolean;
  readonly opaque: boolean;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: readonly [number, number];
  /** Seconds and nanoseconds. */
  readonly mtime: readonly [number, number];
  readonly size: number;
  /** Of the content in the layer's data file. */
  readonly offset: number;
  /** Symlink target; '' for others. */
  readonly link: string;
  /** Path of the first entry of its hard-link group: its own when it stands alone. */
  readonly group: string;
  /** BLAKE3 of a regular file's content as hex; '' for others. */
  readonly digest: string;
  /** Values in base64, sorted by name. */
  readonly xattrs: Readonly<Record<string, string>> | undefined;
}

export class LayerIndex {
  readonly count: number;
  /** Tree digest, hex. */
  readonly tree: string;
  readonly #file: Buffer;
  readonly #view: DataView;
  readonly #entries: number;
  readonly #strings: number;
  readonly #xattrs: number;
  /** The strings section, when it is ASCII; else empty. */
  #text: string | undefined;
  /** How many names each file has that has several, by the position of the first. */
  #links: Map<number, number> | undefined;
  #isPlain: boolean | undefined;

  constructor(file: Buffer, name: string) {
    if (file.length < 128 || !file.subarray(0, 8).equals(MAGIC) || file.readUInt32LE(8) !== 1) {
      throw new TbuildError('store/bad-index', `${name} is not an index that this tbuild knows`, { hint: 'run tbuild fsck' });
    }
    this.#file = file;
    this.#view = new DataView(file.buffer, file.byteOffset, file.length);
    this.count = this.#u32(12);
    this.#entries = this.#u64(16);
    this.#strings = this.#u64(24);
    this.#xattrs = this.#u64(40);
    this.tree = file.toString('hex', 64, 96);
    if (this.#entries + this.count * ENTRY_SIZE > file.length)
      throw new TbuildError('store/bad-index', `${name} is cut short`, { hint: 'run tbuild fsck' });
  }

  static read(path: string): LayerIndex {
    try {
      return new LayerIndex(readFileSync(path), path);
    } catch (cause) {
      if (cause instanceof TbuildError) throw cause;
      throw new TbuildError('store/bad-index', `cannot read the index ${path}: ${(cause as Error).message}`, {
        cause,
        hint: 'run tbuild fsck',
      });
    }
  }

  /** The same, its modes as git keeps them: 0755 of directories and of what its owner may execute, else 0644. */
  withGitModes(): LayerIndex {
    const file = Buffer.from(this.#file);
    for (let position = 0; position < this.count; position++) {
      const at = this.#entries + position * ENTRY_SIZE;
      const isOpen = TYPES[file[at + 10] as number] === 'dir' || (file.readUInt32LE(at + 12) & 0o100) !== 0;
      file.writeUInt32LE(isOpen ? 0o755 : 0o644, at + 12);
    }
    return new LayerIndex(file, 'the context');
  }

  /** `layer`: what the entry says of where it is from. */
  find(path: string, layer = 0): Entry | undefined {
    const position = this.#position(path);
    return position >= 0 ? this.at(position, layer) : undefined;
  }

  /** It has neither an extended attribute nor anything that hides what lower layers have. */
  get isPlain(): boolean {
    this.#isPlain ??= this.#u64(48) === 0 && !this.#hides();
    return this.#isPlain;
  }

  #hides(): boolean {
    for (let position = 0; position < this.count; position++) {
      const base = this.#entries + position * ENTRY_SIZE;
      if (TYPES[this.#file[base + 10] as number] === 'whiteout' || ((this.#file[base + 11] as number) & 2) !== 0) return true;
    }
    return false;
  }

  /** How many names in this index the file at `path` has: its link count. */
  linkCount(path: string): number {
    this.#links ??= this.#countLinks();
    if (this.#links.size === 0) return 1;
    const position = this.#position(path);
    return position < 0 ? 1 : (this.#links.get(this.#groupAt(position)) ?? 1);
  }

  #countLinks(): Map<number, number> {
    const links = new Map<number, number>();
    for (let position = 0; position < this.count; position++) {
      const group = this.#groupAt(position);
      if (group !== position) links.set(group, (links.get(group) ?? 1) + 1);
    }
    return links;
  }

  #groupAt(position: number): number {
    return this.#u32(this.#entries + position * ENTRY_SIZE + 44);
  }

  /** Entries below `path`, itself left out, in order. */
  *below(path: string, layer = 0): Generator<Entry> {
    const [start, end] = this.#rangeBelow(path);
    for (let position = start; position < end; position++) yield this.at(position, layer);
  }

  /** Names and entries directly in `path`, in order of the bytes of their paths. */
  *children(path: string, layer = 0): Generator<readonly [name: string, entry: Entry]> {
    const prefix = path === '' ? '' : `${path}/`;
    const [start, end] = this.#rangeBelow(path);
    let position = start;
    while (position < end) {
      const name = this.#pathAt(position).slice(prefix.length);
      const slash = name.indexOf('/');
      if (slash < 0) {
        yield [name, this.at(position, layer)];
        position += 1;
      } else {
        position = this.#afterSubtree(position, `${prefix}${name.slice(0, slash)}`);
      }
    }
  }

  /** The directories that this layer only passes through, in order. */
  *implied(): Generator<Entry> {
    for (let position = 0; position < this.count; position++) {
      if (((this.#file[this.#entries + position * ENTRY_SIZE + 11] as number) & 1) !== 0) yield this.at(position);
    }
  }

  #rangeBelow(path: string): [start: number, end: number] {
    if (path === '') return [1, this.count];
    const start = ~this.#position(`${path}/`);
    return [start, this.#afterSubtree(start, path)];
  }

  at(position: number, layer = 0): Entry {
    const file = this.#file;
    const base = this.#entries + position * ENTRY_SIZE;
    const type = TYPES[file[base + 10] as number];
    if (!type) throw new TbuildError('store/bad-index', `entry ${position} has an unknown type`, { hint: 'run tbuild fsck' });
    const flags = file[base + 11] as number;
    const link = type === 'symlink' ? this.#string(this.#u64(base + 64), this.#u32(base + 72)) : '';
    const path = this.#pathAt(position);
    const group = this.#groupAt(position);
    return {
      layer,
      path,
      type,
      implied: (flags & 1) !== 0,
      opaque: (flags & 2) !== 0,
      mode: this.#u32(base + 12),
      uid: this.#u32(base + 16),
      gid: this.#u32(base + 20),
      rdev: [this.#u32(base + 24), this.#u32(base + 28)],
      mtime: [this.#i64(base + 32), this.#u32(base + 40)],
      size: this.#u64(base + 48),
      offset: this.#u64(base + 56),
      link,
      group: group === position ? path : this.#pathAt(group),
      digest: type === 'file' ? file.toString('hex', base + 88, base + 120) : '',
      xattrs: this.#xattrsAt(base),
    };
  }

  /** The inlined /etc/passwd or /etc/group; undefined when this layer has no such regular file. */
  account(which: 'passwd' | 'group'): string | undefined {
    const file = this.#file;
    const [offset, length] = which === 'passwd' ? [this.#u64(96), this.#u32(104)] : [this.#u64(112), this.#u32(108)];
    return offset === 0 ? undefined : file.toString('utf8', offset, offset + length);
  }

  #pathAt(position: number): string {
    const base = this.#entries + position * ENTRY_SIZE;
    return this.#string(this.#u64(base), this.#u16(base + 8));
  }

  /** Most names are ASCII: then the whole section is decoded once, and names are parts of it. */
  #string(offset: number, length: number): string {
    this.#text ??= this.#decodeStrings();
    if (this.#text !== '') return this.#text.substring(offset, offset + length);
    return textOf(this.#file.subarray(this.#strings + offset, this.#strings + offset + length));
  }

  #decodeStrings(): string {
    const section = this.#file.subarray(this.#strings, this.#strings + this.#u64(32));
    return isAscii(section) ? section.toString('latin1') : '';
  }

  /** The position of `path`, or the complement (~) of where it would be inserted. */
  #position(path: string): number {
    return this.#search(bytesOf(path), 0);
  }

  #search(path: Buffer, from: number): number {
    let low = from;
    let high = this.count - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const order = this.#compare(middle, path);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return ~low;
  }

  /** Below zero: the entry at `position` sorts before `path`. By hand, for paths are short and this is the innermost loop of every look-up. */
  #compare(position: number, path: Buffer): number {
    const file = this.#file;
    const base = this.#entries + position * ENTRY_SIZE;
    const start = this.#strings + this.#u64(base);
    const length = this.#u16(base + 8);
    const common = Math.min(length, path.length);
    for (let i = 0; i < common; i++) {
      const difference = (file[start + i] as number) - (path[i] as number);
      if (difference !== 0) return difference;
    }
    return length - path.length;
  }

  #u16(at: number): number {
    return this.#view.getUint16(at, true);
  }

  #u32(at: number): number {
    return this.#view.getUint32(at, true);
  }

  #i64(at: number): number {
    return this.#view.getInt32(at + 4, true) * 0x1_0000_0000 + this.#view.getUint32(at, true);
  }

  /** Exact below 2^53, which no offset or size reaches. */
  #u64(at: number): number {
    return this.#view.getUint32(at + 4, true) * 0x1_0000_0000 + this.#view.getUint32(at, true);
  }

  /** Everything below `directory` starts with `directory/`, and so sorts before `directory0` ('0' follows '/'). */
  #afterSubtree(position: number, directory: string): number {
    const found = this.#search(bytesOf(`${directory}0`), position);
    return found >= 0 ? found : ~found;
  }

  #xattrsAt(base: number): Record<string, string> | undefined {
    const length = this.#u32(base + 76);
    if (length === 0) return undefined;
    const xattrs: Record<string, string> = {};
    let at = this.#xattrs + this.#u64(base + 80);
    const end = at + length;
    while (at < end) {
      const nameLength = this.#u16(at);
      const valueLength = this.#u32(at + 2);
      const name = textOf(this.#file.subarray(at + 6, at + 6 + nameLength));
      xattrs[name] = this.#file.toString('base64', at + 6 + nameLength, at + 6 + nameLength + valueLength);
      at += 6 + nameLength + valueLength;
    }
    return xattrs;
  }
}

/**
 * Bytes that are not UTF-8 become lone surrogates, each its own, and the others stay what they are (Python's PEP 383), so that no two names look
 * the same: such a text is not `isWellFormed`. The native binary writes names in the same way.
 */
function textOf(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  if (!text.includes('\ufffd') || isUtf8(bytes)) return text;
  const parts: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const lead = bytes[at] as number;
    const character = bytes.subarray(at, at + (lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4));
    const isText = isUtf8(character);
    parts.push(isText ? character.toString('utf8') : String.fromCharCode(0xdc00 + lead));
    at += isText ? character.length : 1;
  }
  return parts.join('');
}

function bytesOf(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text);
  // With the flag u halves of a pair are none.
  const parts = text.split(/([\udc80-\udcff])/u);
  return Buffer.concat(parts.map((part, i) => (i % 2 === 0 ? Buffer.from(part) : Buffer.of(part.charCodeAt(0) - 0xdc00))));
}
