// The contents of cache mounts in remote caches: a tar, cut by its content into blobs, and an entry that lists them. A change of a few files sends the few
// chunks around them. Of several entries the newest counts; whatever is wrong with one means that the cache begins empty.

import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import pLimit from 'p-limit';
import { type Digest, hexOf, sha256 } from '../../base/digest.ts';
import { TbuildError } from '../../base/errors.ts';
import { writeTreeTar } from '../../native/tree-tar.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { unpackedLimit } from '../../snapshots/unpacked.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import { exactDigest } from '../traces.ts';
import { type Backend, faulty } from './backend.ts';
import { cutChunks } from './chunks.ts';
import { decodeMountEntry, encodeMountEntry, type MountEntry, type SigningKey } from './entry.ts';

/** A directory of cache mounts in the store. */
export interface MountToKeep {
  /** Of the directory in mounts/: made of id, owner, mode and origin. */
  readonly name: string;
  readonly id: string;
}

export interface MountOptions {
  /** What has more than this, as a tar, is not sent. */
  readonly maxBytes: number;
  readonly key?: SigningKey;
  readonly signal: AbortSignal;
}

const CHUNK_TYPE = 'application/vnd.tbuild.chunk.v1+zstd';
const CHUNK_MAX_BYTES = 4 << 20;
const AT_A_TIME = 8;

export const mountKey = (name: string): Digest => sha256(`cache mount ${name}`);

/** Bytes that were sent; or why it is not kept. */
export async function keepMount(
  place: Workplace,
  backend: Backend,
  { name, id }: MountToKeep,
  { maxBytes, key, signal }: MountOptions,
): Promise<number | string> {
  const folder = place.store.path('mounts', name);
  const { lock } = await place.serve.call('lock', { path: `${folder}.lock`, shared: false, wait: false });
  if (lock === null) return 'it is in use';
  const tar = place.newPath();
  try {
    const size = await writeTar(place, join(folder, 'source'), tar, signal);
    if (size > maxBytes) return `it has ${size} bytes, more than the ${maxBytes} of mounts-max`;
    let sent = 0;
    const chunks: Descriptor[] = [];
    const limit = pLimit(AT_A_TIME);
    const sending: Promise<void>[] = [];
    for await (const chunk of cutChunks(createReadStream(tar, { highWaterMark: 1 << 20 }))) {
      const at = chunks.length;
      chunks.push({ mediaType: CHUNK_TYPE, digest: sha256(''), size: 0 });
      const send = limit(async () => {
        const bytes = await promisify(zstdCompress)(chunk);
        const blob = { mediaType: CHUNK_TYPE, digest: sha256(bytes), size: bytes.length };
        chunks[at] = blob;
        if (await backend.hasBlob(blob)) return;
        await backend.putBlob(blob, { bytes });
        sent += blob.size;
      });
      send.catch(() => {}); // Heard of when all are waited for.
      sending.push(send);
      // No more is held than is under way.
      if (limit.pendingCount > AT_A_TIME) await Promise.race(sending.slice(-AT_A_TIME));
    }
    await Promise.all(sending);
    const before = await newestOf(backend, name);
    if (before?.chunks.map(({ digest }) => digest).join() === chunks.map(({ digest }) => digest).join()) return 0;
    const entry = encodeMountEntry({ name, id, created: Date.now(), bytes: size, chunks }, key);
    await backend.put({ key: mountKey(name), exact: exactDigest([]), trace: timedName(entry) }, entry, unique(chunks));
    return sent + entry.length;
  } finally {
    await rm(tar, { force: true });
    await place.serve.call('unlock', { lock });
  }
}

/** Undefined: there is none, or it is of no form that is known. */
async function newestOf(backend: Backend, name: string): Promise<MountEntry | undefined> {
  for await (const bytes of backend.find(mountKey(name), exactDigest([]))) {
    const entry = decodeMountEntry(bytes, undefined);
    return typeof entry === 'string' ? undefined : entry;
  }
  return undefined;
}

/** Names sort by time: some caches know no other order. */
function timedName(entry: Buffer): Digest {
  const time = Date.now().toString(16).padStart(12, '0');
  return `sha256:${time}${hexOf(sha256(entry)).slice(12)}`;
}

function unique(blobs: readonly Descriptor[]): Descriptor[] {
  return [...new Map(blobs.map((blob) => [blob.digest, blob])).values()];
}

/** Its size. Nothing is copied: what is scanned is read where it is. */
async function writeTar(place: Workplace, root: string, out: string, signal: AbortSignal): Promise<number> {
  const index = place.newPath();
  await place.serve.call('scan', { root, out: index });
  const file = await open(out, 'wx', 0o600);
  try {
    await writeTreeTar({ stacks: [{ name: 'cache', directory: '', layers: [{ index, data: root }] }] }, file.fd, signal);
    return (await file.stat()).size;
  } finally {
    await file.close();
    await rm(index, { force: true });
  }
}

/** A directory of this process with what was kept, as `source`; its own attributes are for the caller to give. */
export async function fetchMount(place: Workplace, backend: Backend, { chunks, bytes }: MountEntry): Promise<string> {
  const folder = place.newPath();
  await mkdir(folder);
  const [tar, out] = [join(folder, 'tar'), join(folder, 'unpacked')];
  await pipeline(readChunks(backend, chunks), createWriteStream(tar, { flags: 'wx', mode: 0o600 }));
  const { maxBytes } = unpackedLimit(chunks.reduce((sum, { size }) => sum + size, 0));
  const options = { whiteouts: false, split: false, maxBytes: Math.min(maxBytes, bytes) };
  try {
    const { data, index } = await place.serve.call('unpack', { driver: 'directory', out, archive: tar, ...options });
    await rename(data, join(folder, 'source'));
    for (const path of [tar, index]) await rm(path, { force: true });
    await place.serve.call('remove', { path: out });
    return folder;
  } catch (cause) {
    if (cause instanceof TbuildError && cause.code.startsWith('native/'))
      throw faulty(`a cache mount cannot be unpacked: ${cause.message}`, cause);
    throw cause;
  }
}

/** In order, some of them under way. */
async function* readChunks(backend: Backend, chunks: readonly Descriptor[]): AsyncGenerator<Buffer> {
  const ahead: Promise<Buffer>[] = [];
  const begin = (chunk: Descriptor | undefined) => {
    if (!chunk) return;
    const reading = readChunk(backend, chunk);
    reading.catch(() => {}); // Heard of when its turn comes.
    ahead.push(reading);
  };
  for (let at = 0; at < AT_A_TIME; at++) begin(chunks[at]);
  for (let at = AT_A_TIME; ahead.length > 0; at++) {
    yield await (ahead.shift() as Promise<Buffer>);
    begin(chunks[at]);
  }
}

async function readChunk(backend: Backend, blob: Descriptor): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of backend.openBlob(blob)) {
    size += piece.length;
    if (size > blob.size) break;
    pieces.push(piece);
  }
  const bytes = Buffer.concat(pieces);
  if (size !== blob.size || sha256(bytes) !== blob.digest) throw faulty(`the chunk ${blob.digest} has other bytes`);
  try {
    return await promisify(zstdDecompress)(bytes, { maxOutputLength: CHUNK_MAX_BYTES });
  } catch (cause) {
    throw faulty(`the chunk ${blob.digest} cannot be decompressed`, cause);
  }
}
