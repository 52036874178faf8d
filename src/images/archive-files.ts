// The files of an image archive or of a layout folder, by name. A tar is read once, front to back, into files of the lease's folder (it may come
// through a pipe, and the index may stand at its end); names in it are only ever keys, so nothing in it can decide where bytes go.

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { extract, type Header } from 'tar-stream';
import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';

export interface ArchiveFile {
  /** Where its bytes are. */
  readonly path: string;
  readonly size: number;
}

export interface ArchiveFiles {
  /** What messages call it. */
  readonly label: string;
  /** The files were written by this process, and change no more. */
  readonly isOurs: boolean;
  /** The file of that name, links followed; undefined: there is none. */
  find(name: string): Promise<ArchiveFile | undefined>;
}

/** A folder. Links in it are followed: some builders make layouts of links, and a blob is only what its digest says it is. */
export function openFolder(folder: string): ArchiveFiles {
  return {
    label: folder,
    isOurs: false,
    find: async (name) => {
      const path = join(folder, name);
      const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
        throw badArchive(folder, `cannot read ${name}: ${error.message}`);
      });
      if (found && !found.isFile()) throw badArchive(folder, `${name} is not a file`);
      return found && { path, size: found.size };
    },
  };
}

const MAX_ENTRIES = 100_000;
const MAX_NAME_LENGTH = 4096;
const MAX_LINKS = 16;

/** tar-stream gives streamx's streams: near enough to Node's to be read as such. */
type Entry = Readable & { readonly header: Header };

type Spooled = (ArchiveFile & { readonly digest: Digest }) | { readonly link: string };

/** A tar, plain or compressed with gzip or zstd. `folder` exists, is empty, and is the caller's to remove. */
export async function spoolArchive(input: Readable, label: string, folder: string): Promise<ArchiveFiles> {
  const entries = new Map<string, Spooled>();
  const reader = extract();
  // A truncated archive fails on the entry's stream and on the reader: whoever is first is heard, the other must have a listener.
  reader.on('error', () => {});
  const fed = pipeline(await decompress(input, label), reader);
  fed.catch(() => {});
  try {
    let count = 0;
    for await (const entry of reader) {
      if (++count > MAX_ENTRIES) throw badArchive(label, `it has more than ${MAX_ENTRIES} entries`);
      await spoolEntry(entry as unknown as Entry, entries, label, join(folder, `file-${count}`));
    }
    await fed;
  } catch (cause) {
    reader.destroy();
    input.destroy();
    throw archiveError(label, cause);
  }
  return { label, isOurs: true, find: async (name) => followLinks(entries, name, label) };
}

/** `path`: where the bytes of a file go. */
async function spoolEntry(entry: Entry, entries: Map<string, Spooled>, label: string, path: string): Promise<void> {
  const { header } = entry;
  const name = cleanName(header.name, label);
  const size = header.size ?? 0;
  switch (header.type) {
    case 'directory':
      // tar-stream never comes to the end of one.
      if (size > 0) throw badArchive(label, `the directory ${name} has contents`);
      entry.resume();
      return;
    case 'file':
    case 'contiguous-file': {
      const digest = await writeHashed(entry, path);
      return remember(entries, name, { path, size, digest }, label);
    }
    case 'symlink':
    case 'link': {
      const base = header.type === 'symlink' ? posix.dirname(name) : '.';
      const target = header.linkname ?? '';
      if (target.startsWith('/')) throw badArchive(label, `the link ${name} leads out of it, to ${target}`);
      entry.resume();
      return remember(entries, name, { link: cleanName(posix.join(base, target), label, `the link ${name} leads`) }, label);
    }
    default:
      throw badArchive(label, `${name} is a ${header.type}: an image archive has files, directories and links`);
  }
}

async function writeHashed(entry: Readable, path: string): Promise<Digest> {
  const state = createHash('sha256');
  const hashed = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      state.update(chunk);
      yield chunk;
    }
  };
  await pipeline(entry, hashed, createWriteStream(path, { flags: 'wx', highWaterMark: 1 << 20 }));
  return `sha256:${state.digest('hex')}`;
}

/** Relative, without `.` and `..`. */
function cleanName(name: string, label: string, subject = 'an entry leads'): string {
  const clean = posix.normalize(name.slice(0, MAX_NAME_LENGTH + 1)).replace(/\/+$/, '');
  if (clean.length > MAX_NAME_LENGTH) throw badArchive(label, `a name in it is longer than ${MAX_NAME_LENGTH} characters`);
  if (clean.startsWith('/') || clean === '..' || clean.startsWith('../'))
    throw badArchive(label, `${subject} out of it: ${name}`);
  return clean;
}

/** The same file twice is harmless; two different ones of the same name would be one to us and the other to the next tool. */
function remember(entries: Map<string, Spooled>, name: string, entry: Spooled, label: string): void {
  const known = entries.get(name);
  if (known) {
    const isSame =
      'link' in entry ? 'link' in known && known.link === entry.link : 'digest' in known && known.digest === entry.digest;
    if (!isSame) throw badArchive(label, `it has two different files named ${name}`);
    return;
  }
  entries.set(name, entry);
}

function followLinks(entries: Map<string, Spooled>, name: string, label: string): ArchiveFile | undefined {
  let at = posix.normalize(name);
  for (let followed = 0; followed <= MAX_LINKS; followed++) {
    const entry = entries.get(at);
    if (!entry || 'path' in entry) return entry;
    at = entry.link;
  }
  throw badArchive(label, `the link ${name} leads in circles`);
}

/** What a compressed stream starts with: RFC 1952, RFC 8878, and two that are told apart for the message only. */
export async function decompress(input: Readable, label: string): Promise<Readable> {
  const { head, rest } = await peek(input, 6);
  if (head.length === 0) throw badArchive(label, 'it is empty');
  if (head[0] === 0x1f && head[1] === 0x8b) return piped(rest, createGunzip());
  if (head.length >= 4 && head.readUInt32LE(0) === 0xfd2fb528) return piped(rest, createZstdDecompress());
  const isOther = head.toString('latin1', 0, 3) === 'BZh' || head.toString('latin1', 1, 5) === '7zXZ';
  if (isOther) {
    throw new TbuildError('unsupported/compression', `${label} is compressed with bzip2 or xz: gzip and zstd can be read`, {
      hint: 'decompress it first',
    });
  }
  return rest;
}

function piped(from: Readable, through: NodeJS.ReadWriteStream & { destroy(error?: Error): void }): Readable {
  pipeline(from, through).catch((error: Error) => through.destroy(error));
  return through as unknown as Readable;
}

async function peek(input: Readable, length: number): Promise<{ head: Buffer; rest: Readable }> {
  const chunks = input[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < length) {
    const next = await chunks.next();
    if (next.done) break;
    head = Buffer.concat([head, next.value as Buffer]);
  }
  const all = async function* () {
    if (head.length > 0) yield head;
    yield* { [Symbol.asyncIterator]: () => chunks };
  };
  return { head, rest: Readable.from(all(), { objectMode: false, highWaterMark: 1 << 20 }) };
}

/** A tar of layers is read from a file in large pieces. */
export async function openArchiveFile(path: string): Promise<Readable> {
  const file = await open(path, 'r').catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === 'ENOENT' ? 'there is no such file' : cause.message;
    throw new TbuildError('image/unreadable-archive', `cannot read the archive ${path}: ${why}`, { cause });
  });
  return createReadStream('', { fd: file, highWaterMark: 1 << 20 });
}

function archiveError(label: string, cause: unknown): TbuildError {
  const known = loadError(label, cause);
  if (known instanceof TbuildError) return known;
  return new TbuildError('image/bad-archive', `${label} is damaged, or no image archive: ${(cause as Error).message}`, { cause });
}

/** What the system refused while `label` was loaded, as an error of ours; anything else as it is. */
export function loadError(label: string, cause: unknown): unknown {
  const { code, syscall, message } = cause as NodeJS.ErrnoException;
  if (cause instanceof TbuildError || syscall === undefined) return cause;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new TbuildError('store/full', `no space left on the disk while loading ${label}`, {
      cause,
      hint: 'free some space, or set TBUILD_ROOT to another disk',
    });
  }
  return new TbuildError('image/unreadable-archive', `cannot load ${label}: ${message}`, { cause });
}

export function badArchive(label: string, why: string): TbuildError {
  return new TbuildError('image/bad-archive', `${label} cannot be loaded: ${why}`);
}
