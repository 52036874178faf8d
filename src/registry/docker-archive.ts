// `cp` from and to archives for docker. They have no manifest, and layers that are plain: on the way out of one its image gets a manifest, and gzip, which
// registries expect; on the way in layers become plain. Each layer is checked against the image's config, and lies in a folder of the caller's meanwhile.

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import pLimit from 'p-limit';
import { type Digest, hexOf, sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import { badArchive, decompress, openArchiveFile, spoolArchive } from '../images/archive-files.ts';
import { describe } from '../images/documents.ts';
import { type Content, encodeIndex, LAYOUT_FILE, writeArchive } from '../images/layout-writer.ts';
import { makeParents } from '../images/place-file.ts';
import { readDockerImages } from '../images/read-archive.ts';
import { encodeDockerManifest } from '../images/save.ts';
import { nameAnnotations } from '../images/store-layout.ts';
import {
  assertRunnable,
  type Descriptor,
  encodeManifest,
  layerMediaType,
  MAX_CONFIG_BYTES,
  mediaTypes,
  parseManifest,
} from '../oci/descriptor.ts';
import { parseImageConfig } from '../oci/image-config.ts';
import { familiarName } from '../oci/reference.ts';
import { unpackedLimit } from '../snapshots/unpacked.ts';
import { bytesSource, fileSource } from './blob-source.ts';
import type { ManifestSource } from './copy.ts';
import type { FetchedManifest } from './repository.ts';

interface Place {
  readonly path: string;
  /** In full. */
  readonly name: string | undefined;
  /** What messages call it; unset: by its path. */
  readonly label?: string;
}

interface Destination {
  /** A file, or whoever takes it. */
  readonly to: string | Writable;
  /** In full. */
  readonly name: string | undefined;
}

/** `compression`: of the layers, as they are handed on. `folder` is for files of this copy alone. */
export async function openDockerArchive(
  { path, name, label = path }: Place,
  folder: string,
  compression: 'none' | 'gzip',
  signal: AbortSignal,
): Promise<{ readonly from: ManifestSource; readonly root: FetchedManifest }> {
  const files = await spoolArchive(await openArchiveFile(path), label, folder);
  const images = await readDockerImages(files);
  if (!images) throw badArchive(label, 'it has no manifest.json');
  const [image, ...others] = images.filter(({ names }) => name === undefined || names.includes(name));
  if (!image)
    throw new TbuildError('image/unknown', `${label} has no image${name === undefined ? '' : ` ${familiarName(name)}`}`);
  if (others.length > 0) {
    const known = images.flatMap(({ names }) => names.slice(0, 1).map(familiarName)).slice(0, 10);
    throw new TbuildError('image/ambiguous', `${label} has several images`, { hint: `name one of them: ${known.join(', ')}` });
  }
  const layers = await mapLayers(image.layers, signal, async ({ diffId, fetch }, position, ending) => {
    const stored = join(folder, `stored-${position}`);
    await fetch(stored);
    return recode(createReadStream(stored), {
      label: image.label,
      diffId,
      compression,
      to: join(folder, `layer-${position}`),
      signal: ending,
    });
  });
  const config = { mediaType: mediaTypes.config, digest: sha256(image.config), size: image.config.length };
  const bytes = encodeManifest(
    config,
    layers.map(({ descriptor }) => descriptor),
  );
  const paths = new Map(layers.map((layer) => [layer.descriptor.digest, layer.path]));
  const from: ManifestSource = {
    name: label,
    fetchManifest: () => Promise.reject(badArchive(label, 'it has one manifest')),
    fetchBlob: async () => image.config,
    openBlob: async (blob) =>
      blob.digest === config.digest ? bytesSource(blob, image.config) : fileSource(blob, paths.get(blob.digest) as string),
  };
  return { from, root: describe(bytes, mediaTypes.manifest) };
}

/** What it is called there. */
export async function writeDockerArchive(
  from: ManifestSource,
  root: FetchedManifest,
  { to, name }: Destination,
  folder: string,
  signal: AbortSignal,
): Promise<Descriptor> {
  const label = `the manifest ${root.descriptor.digest} of ${from.name}`;
  const manifest = parseManifest(root.bytes, label);
  if (manifest.kind === 'index') {
    throw new TbuildError('usage/conflict', 'an archive for docker holds the image for one platform', {
      hint: 'leave --all out, or copy to oci-archive:',
    });
  }
  assertRunnable(manifest, label);
  const config = await from.fetchBlob(manifest.config, MAX_CONFIG_BYTES);
  const diffIds = parseImageConfig(config, `the config ${manifest.config.digest}`).rootfs.diff_ids as readonly Digest[];
  if (diffIds.length !== manifest.layers.length)
    throw badArchive(from.name, `it has ${manifest.layers.length} layers, its config speaks of ${diffIds.length}`);
  const layers = await mapLayers(manifest.layers, signal, async (blob, position, ending) => {
    const source = Readable.from((await from.openBlob(blob)).read(0), { objectMode: false });
    return recode(source, {
      label: from.name,
      diffId: diffIds[position] as Digest,
      compression: 'none',
      to: join(folder, `plain-${position}`),
      signal: ending,
      storedBytes: blob.size,
    });
  });
  const descriptors = layers.map(({ descriptor }) => descriptor);
  const id = manifest.config.digest;
  const made = describe(encodeManifest({ ...manifest.config, mediaType: mediaTypes.config }, descriptors), mediaTypes.manifest);
  const files = new Map<string, Content>([
    [blobName(made.descriptor.digest), { bytes: made.bytes }],
    [blobName(id), { bytes: config }],
    ...layers.map(({ descriptor: { digest, size }, path: file }) => [blobName(digest), { file, size, digest }] as const),
    ['oci-layout', { bytes: Buffer.from(LAYOUT_FILE) }],
    [
      'index.json',
      { bytes: encodeIndex([{ ...made.descriptor, ...(name !== undefined && { annotations: nameAnnotations(name) }) }]) },
    ],
    [
      'manifest.json',
      { bytes: encodeDockerManifest([{ id, names: name === undefined ? [] : [name], layers: descriptors, diffIds }]) },
    ],
  ]);
  if (typeof to === 'string') makeParents(resolve(to));
  await writeArchive(to, files);
  return made.descriptor;
}

const blobName = (digest: Digest): string => `blobs/sha256/${hexOf(digest)}`;

/** As many at a time as there are CPUs. After a failure nothing more is begun, and what is under way ends at once. */
async function mapLayers<T, U>(
  layers: readonly T[],
  signal: AbortSignal,
  act: (layer: T, position: number, signal: AbortSignal) => Promise<U>,
): Promise<U[]> {
  const limit = pLimit({ concurrency: availableParallelism(), rejectOnClear: true });
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const acting = layers.map((layer, position) =>
    limit(() => act(layer, position, either)).catch((error: unknown) => {
      limit.clearQueue();
      failed.abort(error);
      throw error;
    }),
  );
  await Promise.allSettled(acting);
  signal.throwIfAborted();
  if (failed.signal.aborted) throw failed.signal.reason;
  return Promise.all(acting);
}

interface Recoding {
  readonly label: string;
  readonly diffId: Digest;
  readonly compression: 'none' | 'gzip';
  readonly to: string;
  readonly signal: AbortSignal;
  /** Of the layer as it comes, where it comes from far away. */
  readonly storedBytes?: number;
}

/** Whatever it is compressed with, and once its plain bytes are those that the config promises. */
async function recode(
  from: Readable,
  { label, diffId, compression, to, signal, storedBytes = 0 }: Recoding,
): Promise<{ readonly descriptor: Descriptor; readonly path: string }> {
  const { maxBytes, why, hint } = unpackedLimit(storedBytes);
  const [plain, written] = [createHash('sha256'), createHash('sha256')];
  let [plainBytes, size] = [0, 0];
  const input = await decompress(from, label);
  const counted = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      plain.update(chunk);
      plainBytes += chunk.length;
      if (plainBytes > maxBytes)
        throw new TbuildError('image/too-large', `${label}: the layer ${diffId} unpacks to more than ${why}`, { hint });
      yield chunk;
    }
  };
  const sized = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      written.update(chunk);
      size += chunk.length;
      yield chunk;
    }
  };
  const file = createWriteStream(to, { flags: 'wx', highWaterMark: 1 << 20 });
  const ending = { signal };
  await (compression === 'gzip'
    ? pipeline(input, counted, createGzip(), sized, file, ending)
    : pipeline(input, counted, sized, file, ending));
  const found: Digest = `sha256:${plain.digest('hex')}`;
  if (found !== diffId) throw new TbuildError('image/wrong-layer', `${label}: the layer that should be ${diffId} is ${found}`);
  return { descriptor: { mediaType: layerMediaType(compression), digest: `sha256:${written.digest('hex')}`, size }, path: to };
}
