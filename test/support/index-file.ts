// Index files from plain descriptions, by docs/native.md, so that trees can be tested without the native binary.

import { createHash } from 'node:crypto';
import type { EntryType } from '../../src/native/serve.ts';
import { LayerIndex } from '../../src/snapshots/layer-index.ts';

export interface Described {
  readonly type?: EntryType;
  readonly mode?: number;
  readonly owner?: readonly [number, number];
  readonly text?: string;
  readonly link?: string;
  readonly opaque?: boolean;
  readonly implied?: boolean;
  /** Path of the first entry of its group. */
  readonly group?: string;
  readonly mtime?: number;
  readonly xattrs?: Readonly<Record<string, string>>;
}

const TYPES = ['', 'file', 'dir', 'symlink', 'char', 'block', 'fifo', 'socket', 'whiteout'];

/** Parents are added as directories. `passwd` and `group` are inlined from etc/passwd and etc/group. */
export function indexOf(tree: Readonly<Record<string, Described>>): LayerIndex {
  return new LayerIndex(indexFile(tree), 'test');
}

export function indexFile(tree: Readonly<Record<string, Described>>): Buffer {
  const all = new Map<string, Described>(Object.entries(tree));
  for (const path of [...all.keys(), '']) {
    for (let end = path.lastIndexOf('/'); end >= 0; end = path.lastIndexOf('/', end - 1)) {
      const parent = path.slice(0, end);
      if (!all.has(parent)) all.set(parent, { type: 'dir' });
      if (end === 0) break;
    }
  }
  if (!all.has('')) all.set('', { type: 'dir' });
  const paths = [...all.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const strings: Buffer[] = [];
  let stringsLength = 0;
  const addString = (text: string): [number, number] => {
    const bytes = Buffer.from(text);
    strings.push(bytes);
    stringsLength += bytes.length;
    return [stringsLength - bytes.length, bytes.length];
  };
  const xattrs: Buffer[] = [];
  let xattrsLength = 0;
  const entries = paths.map((path, position) => {
    const described = all.get(path) as Described;
    const type = described.type ?? (described.link !== undefined ? 'symlink' : 'file');
    const entry = Buffer.alloc(120);
    const [offset, length] = addString(path);
    entry.writeBigUInt64LE(BigInt(offset), 0);
    entry.writeUInt16LE(length, 8);
    entry[10] = TYPES.indexOf(type);
    entry[11] = (described.implied ? 1 : 0) | (described.opaque ? 2 : 0);
    entry.writeUInt32LE(described.mode ?? (type === 'dir' ? 0o755 : 0o644), 12);
    entry.writeUInt32LE(described.owner?.[0] ?? 0, 16);
    entry.writeUInt32LE(described.owner?.[1] ?? 0, 20);
    entry.writeBigInt64LE(BigInt(described.mtime ?? 1_700_000_000), 32);
    entry.writeUInt32LE(described.group === undefined ? position : paths.indexOf(described.group), 44);
    const content = Buffer.from(described.text ?? '');
    if (type === 'file') {
      entry.writeBigUInt64LE(BigInt(content.length), 48);
      createHash('sha256').update(content).digest().copy(entry, 88);
    }
    if (described.link !== undefined) {
      const [linkOffset, linkLength] = addString(described.link);
      entry.writeBigUInt64LE(BigInt(linkOffset), 64);
      entry.writeUInt32LE(linkLength, 72);
    }
    if (described.xattrs) {
      const block = Buffer.concat(
        Object.entries(described.xattrs).map(([name, value]) => {
          const head = Buffer.alloc(6);
          head.writeUInt16LE(Buffer.byteLength(name), 0);
          head.writeUInt32LE(Buffer.byteLength(value), 2);
          return Buffer.concat([head, Buffer.from(name), Buffer.from(value)]);
        }),
      );
      entry.writeUInt32LE(block.length, 76);
      entry.writeBigUInt64LE(BigInt(xattrsLength), 80);
      xattrs.push(block);
      xattrsLength += block.length;
    }
    return entry;
  });
  const header = Buffer.alloc(128);
  header.write('TBINDEX\0', 'latin1');
  header.writeUInt32LE(1, 8);
  header.writeUInt32LE(entries.length, 12);
  header.writeBigUInt64LE(128n, 16);
  const stringsAt = 128 + 120 * entries.length;
  const xattrsAt = stringsAt + stringsLength;
  header.writeBigUInt64LE(BigInt(stringsAt), 24);
  header.writeBigUInt64LE(BigInt(stringsLength), 32);
  header.writeBigUInt64LE(BigInt(xattrsAt), 40);
  header.writeBigUInt64LE(BigInt(xattrsLength), 48);
  const tail: Buffer[] = [];
  let at = xattrsAt + xattrsLength;
  const inline = (path: string): [number, number] => {
    const text = all.get(path)?.text;
    if (text === undefined) return [0, 0];
    tail.push(Buffer.from(text));
    at += Buffer.byteLength(text);
    return [at - Buffer.byteLength(text), Buffer.byteLength(text)];
  };
  const passwd = inline('etc/passwd');
  header.writeBigUInt64LE(BigInt(passwd[0]), 96);
  header.writeUInt32LE(passwd[1], 104);
  const group = inline('etc/group');
  header.writeUInt32LE(group[1], 108);
  header.writeBigUInt64LE(BigInt(group[0]), 112);
  return Buffer.concat([header, ...entries, ...strings, ...xattrs, ...tail]);
}
