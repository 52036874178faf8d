// A remote cache in a directory: entries/<key>/<exact>/<trace>, blobs/sha256/<hex>. Each file is written under another name and renamed, so whoever
// reads sees whole ones, and writers on one file system, a shared one too, do not disturb each other. What is used is touched: the age is that of the last use.

import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, mkdir, open, readdir, rename, rm, rmdir, stat, utimes, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Digest, hexOf } from '../../base/digest.ts';
import { TbuildError } from '../../base/errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { CacheAddress } from '../../snapshots/absent-data.ts';
import { type Backend, type BlobContent, ENTRY_BYTES_MAX, type EntryName, faulty } from './backend.ts';
import { chooseLeaving, type KeptEntry } from './prune.ts';

export function openLocal(address: Extract<CacheAddress, { type: 'local' }>): Backend {
  const { directory } = address;
  const blobPath = ({ digest }: Descriptor) => join(directory, 'blobs', 'sha256', hexOf(digest));
  const folderOf = (key: Digest, exact: Digest) => join(directory, 'entries', hexOf(key), hexOf(exact));
  const entryPath = ({ key, exact, trace }: EntryName) => join(folderOf(key, exact), hexOf(trace));
  return {
    label: directory,
    address,
    find: (key, exact) => readEntries(folderOf(key, exact)),
    has: (name) => isThere(entryPath(name)),
    put: (name, entry) => place(entryPath(name), { bytes: entry }),
    hasBlob: (blob) => isThere(blobPath(blob), blob.size),
    openBlob: (blob) => readBlob(blobPath(blob)),
    putBlob: (blob, content) => place(blobPath(blob), content),
    prune: async (options) => {
      const entries = await listEntries(directory);
      const blobs = await listFiles(join(directory, 'blobs', 'sha256'));
      const sizes = new Map(blobs.map(({ path, bytes }) => [basename(path), bytes]));
      const leaving = chooseLeaving(entries, sizes, options);
      for (const { id } of leaving.entries) await removeEntry(id);
      // One that was written a moment ago may be of an entry that is not written yet.
      const settled = Date.now() - UNSETTLED_MS;
      const gone = blobs.filter(({ path, modified }) => leaving.blobs.has(basename(path)) && modified < settled);
      for (const { path } of gone) await rm(path, { force: true });
      const sum = (files: readonly { readonly bytes: number }[]) => files.reduce((all, { bytes }) => all + bytes, 0);
      const freedBytes = sum(gone) + sum(leaving.entries);
      return {
        entries: leaving.entries.length,
        blobs: gone.length,
        freedBytes,
        keptBytes: sum(blobs) + sum(entries) - freedBytes,
      };
    },
    close: async () => {},
  };
}

const UNSETTLED_MS = 3_600_000;

async function* readEntries(folder: string): AsyncGenerator<Buffer> {
  const files = await listFiles(folder);
  // Where it matters which is the newest, names begin with a time: those of files are too coarse.
  for (const { path, bytes } of files.sort((a, b) => (a.path > b.path ? -1 : 1))) {
    if (bytes > ENTRY_BYTES_MAX) continue;
    const entry = await readWhole(path);
    if (!entry) continue;
    // In a cache that may be read only the age is that of the writing.
    await utimes(path, new Date(), new Date()).catch(() => {});
    yield entry;
  }
}

/** Undefined: somebody has removed it since. Never more than an entry may have, whatever becomes of the file. */
async function readWhole(path: string): Promise<Buffer | undefined> {
  const file = await open(path, 'r').catch(() => undefined);
  if (!file) return undefined;
  try {
    const buffer = Buffer.alloc(Math.min((await file.stat()).size, ENTRY_BYTES_MAX));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

async function* readBlob(path: string): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) yield chunk as Buffer;
  } catch (cause) {
    throw faulty(`cannot read ${path}: ${(cause as NodeJS.ErrnoException).code}`, cause);
  }
}

async function isThere(path: string, size?: number): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && (size === undefined || found.size === size);
}

async function place(path: string, content: BlobContent): Promise<void> {
  const temporary = join(dirname(path), `.${randomUUID()}`);
  try {
    await mkdir(dirname(path), { recursive: true });
    if ('bytes' in content) await writeFile(temporary, content.bytes);
    else if ('file' in content) await copyFile(content.file, temporary);
    else await pipeline(content.chunks(), createWriteStream(temporary, { flags: 'wx' }));
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    if (cause instanceof TbuildError) throw cause;
    throw new TbuildError('store/cache', `cannot write to the cache in ${path}: ${(cause as Error).message}`, { cause });
  }
}

interface Found {
  readonly path: string;
  readonly bytes: number;
  readonly modified: number;
}

/** Regular files with names of our own; none where there is no folder. */
async function listFiles(folder: string): Promise<Found[]> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => /^[0-9a-f]{64}$/.test(name));
  const found = await Promise.all(
    names.map(async (name) => {
      const path = join(folder, name);
      const { size: bytes, mtimeMs: modified } = (await stat(path).catch(() => undefined)) ?? { size: -1, mtimeMs: 0 };
      return { path, bytes, modified };
    }),
  );
  return found.filter(({ bytes }) => bytes >= 0);
}

async function listEntries(directory: string): Promise<KeptEntry[]> {
  const kept: KeptEntry[] = [];
  const entries = join(directory, 'entries');
  for (const { path: keyed } of await listFiles(entries)) {
    for (const { path: folder } of await listFiles(keyed)) {
      for (const { path, bytes, modified } of await listFiles(folder)) {
        const text = bytes > ENTRY_BYTES_MAX ? undefined : await readWhole(path);
        kept.push({ id: path, bytes, used: modified, text });
      }
    }
  }
  return kept;
}

async function removeEntry(path: string): Promise<void> {
  await rm(path, { force: true });
  // The folders above, if this was the last.
  await rmdir(dirname(path)).then(
    () => rmdir(dirname(dirname(path))).catch(() => {}),
    () => {},
  );
}
