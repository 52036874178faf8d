// Writes named contents as a tar or as an OCI layout's folder, each file whole or not at all.
// A file whose bytes are not those of its digest is never written under that digest.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack } from 'tar-stream';
import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import { annotations, type Descriptor, mediaTypes, parseManifest } from '../oci/descriptor.ts';
import { besides, naming, placeFile } from './place-file.ts';

export type Content =
  | { readonly bytes: Uint8Array }
  /** `isMade`: by this process, which knows its digest from the same bytes. */
  | { readonly file: string; readonly size: number; readonly digest: Digest; readonly isMade?: true }
  /** From elsewhere, as it is written. */
  | { readonly open: () => AsyncIterable<Uint8Array>; readonly size: number; readonly digest: Digest };

export const LAYOUT_FILE = '{"imageLayoutVersion":"1.0.0"}';

/** `-`: standard output. */
export async function writeArchive(destination: string | Writable, files: ReadonlyMap<string, Content>): Promise<void> {
  if (typeof destination !== 'string') return pipeline(copied(tarOf(files)), destination);
  if (destination === '-') return writeArchive(createWriteStream('', { fd: 1, autoClose: false }), files);
  await placeFile(destination, (path, flag) => writeFile(path, tarOf(files), { flag }));
}

/** Each chunk is good until the next is asked for. */
async function* tarOf(files: ReadonlyMap<string, Content>): AsyncGenerator<Uint8Array> {
  for (const name of [...files.keys()].sort()) {
    const content = files.get(name) as Content;
    const size = 'bytes' in content ? content.bytes.length : content.size;
    yield await header(name, size);
    yield* readVerified(content);
    yield Buffer.alloc(-size & (TAR_BLOCK - 1));
  }
  yield Buffer.alloc(2 * TAR_BLOCK);
}

const TAR_BLOCK = 512;

/** Of an entry that is never filled: contents go past it, for it takes as much time again. */
async function header(name: string, size: number): Promise<Buffer> {
  const tar = pack();
  tar.entry({ name, size, mode: 0o644, mtime: new Date(0) }).on('error', () => {});
  const [bytes] = await once(tar, 'data');
  tar.destroy();
  return bytes;
}

/** For who keeps what he is given. */
async function* copied(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) yield Buffer.from(chunk);
}

/** Each chunk is good until the next is asked for. */
async function* readVerified(content: Content): AsyncGenerator<Uint8Array> {
  if ('bytes' in content) {
    yield content.bytes;
    return;
  }
  const chunks = 'open' in content ? content.open() : readChunks(content.file);
  const state = 'isMade' in content ? undefined : createHash('sha256');
  let left = content.size;
  for await (const chunk of chunks) {
    state?.update(chunk);
    left -= chunk.length;
    yield chunk;
  }
  if (left === 0 && (!state || `sha256:${state.digest('hex')}` === content.digest)) return;
  if ('open' in content) throw new TbuildError('registry/wrong-digest', `the blob that should be ${content.digest} is another`);
  throw new TbuildError('store/damaged', `the blob ${content.digest} is damaged`, { hint: 'run tbuild fsck' });
}

/** By one buffer: a stream takes twice the time. */
async function* readChunks(path: string): AsyncGenerator<Uint8Array> {
  const file = await open(path);
  try {
    const buffer = Buffer.allocUnsafe(1 << 20);
    for (;;) {
      const { bytesRead } = await file.read(buffer);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** An OCI layout in `folder`: made where there is none, added to where there is one. index.json comes last, when all it names is there. */
export async function writeFolder(
  folder: string,
  files: ReadonlyMap<string, Content>,
  entries: readonly Descriptor[],
): Promise<void> {
  await naming(folder, async () => {
    await mkdir(join(folder, 'blobs/sha256'), { recursive: true });
    const others = await readEntries(folder);
    for (const [name, content] of files) {
      await besides(join(folder, name), (temporary) => writeFile(temporary, readVerified(content), { flag: 'wx' }));
    }
    await writeFile(join(folder, 'oci-layout'), LAYOUT_FILE);
    const kept = others.filter((other) => !entries.some((entry) => isReplacedBy(other, entry)));
    await besides(join(folder, 'index.json'), (temporary) => writeFile(temporary, encodeIndex([...kept, ...entries])));
  });
}

/** What a layout lists already. */
async function readEntries(folder: string): Promise<readonly Descriptor[]> {
  const names = (await readdir(folder)).filter((name) => name !== 'blobs');
  if (names.length === 0) return [];
  if (!names.includes('oci-layout') || !names.includes('index.json')) {
    throw new TbuildError('usage/not-a-layout', `${folder} is neither empty nor an OCI layout`, {
      hint: 'name a folder that does not exist yet',
    });
  }
  const bytes = await readFile(join(folder, 'index.json'));
  const index = parseManifest(bytes, `${folder}: index.json`);
  // Once it is known to be sound, as it was written: whatever else others say of their images stays.
  return index.kind === 'index' ? (JSON.parse(bytes.toString()) as { manifests: Descriptor[] }).manifests : [];
}

/** A name points to one image: the newest. */
function isReplacedBy(old: Descriptor, entry: Descriptor): boolean {
  const nameOf = ({ annotations: notes }: Descriptor) => notes?.[annotations.imageName] ?? notes?.[annotations.refName];
  const name = nameOf(old);
  return name === undefined ? old.digest === entry.digest : name === nameOf(entry);
}

export function encodeIndex(manifests: readonly Descriptor[]): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }));
}
