// The blobs that layers are to others: the blob a layer came from, while it is here and compressed as asked, else its tar, made anew.
// Whatever a blob is made from, its diff ID is compared with what the image's config promises.

import { closeSync, createWriteStream, fstatSync, openSync, readSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { Blobs } from '../oci/blobs.ts';
import { type Compression, compressionOf, type Descriptor, type Dialect, layerMediaType } from '../oci/descriptor.ts';
import type { Layer } from '../snapshots/layers.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { Image } from './image.ts';

export interface LayerBlob {
  readonly descriptor: Descriptor;
  /** Where its bytes are: in the store, or in this process's folder. */
  readonly file: string;
  /** Its digest was computed while it was written, by this process. */
  readonly isMade?: true;
}

/** One that is elsewhere, and good as it is. */
export interface AbsentBlob {
  readonly descriptor: Descriptor;
  readonly absent: Layer;
}

/** One that is to be made from its layer. */
export interface UnmadeBlob {
  readonly layer: Layer;
  readonly diffId: Digest;
  readonly mediaType: string;
  readonly compression: Compression;
  readonly level: number | undefined;
}

export interface BlobOptions {
  readonly compression: Compression;
  /** Undefined: the compression's own default. */
  readonly level?: number;
  /** A blob that came from outside is taken as it is, however it is compressed. */
  readonly keepsOthers?: boolean;
  readonly dialect?: Dialect;
}

/** The blobs of an image's layers, bottom first. */
export function planBlobs(
  place: Workplace,
  blobs: Blobs,
  image: Image,
  options: BlobOptions,
): (LayerBlob | AbsentBlob | UnmadeBlob)[] {
  const { compression, level, dialect } = options;
  return image.layers.map((id, position) => {
    const layer = layerOf(place, image, id);
    const diffId = image.config.rootfs.diff_ids[position] as Digest;
    const mediaType = layerMediaType(compression, dialect);
    return findBlob(blobs, layer, options) ?? { layer, diffId, mediaType, compression, level };
  });
}

/** The blobs that a manifest names; undefined: it cannot be had here any more. */
export function planOriginals(
  place: Workplace,
  blobs: Blobs,
  image: Image,
  descriptors: readonly Descriptor[],
): (LayerBlob | UnmadeBlob | undefined)[] {
  return descriptors.map((descriptor, position) => {
    const { digest, size, mediaType } = descriptor;
    if (blobs.has(digest, size)) return { descriptor, file: blobs.path(digest) };
    const diffId = image.config.rootfs.diff_ids[position] as Digest;
    if (digest !== diffId) return undefined;
    // Plain, it is the layer's tar.
    const layer = layerOf(place, image, image.layers[position] as Digest);
    return { layer, diffId, mediaType, compression: 'none', level: undefined };
  });
}

export function layerOf(place: Pick<Workplace, 'layers'>, image: Image, id: Digest): Layer {
  const layer = place.layers.get(id);
  if (layer) return layer;
  throw new TbuildError('store/layer-gone', `the layer ${id} of the image ${image.id} is not in the store`, {
    hint: 'run tbuild fsck',
  });
}

function findBlob(
  blobs: Blobs,
  layer: Layer,
  { compression, keepsOthers = false, dialect }: BlobOptions,
): LayerBlob | AbsentBlob | undefined {
  if (layer.absent) {
    const { blob, isForeign } = layer.absent;
    const found = compressionOf(blob);
    if (found === undefined || (found !== compression && !(keepsOthers && isForeign))) return undefined;
    const { digest, size } = blob;
    return { descriptor: { mediaType: layerMediaType(found, dialect), digest, size }, absent: layer };
  }
  if (!layer.blob || !blobs.has(layer.blob) || (compression === 'none' && !keepsOthers)) return undefined;
  const file = blobs.path(layer.blob);
  const { compression: found, size } = inspectBlob(file);
  if (found !== compression && !keepsOthers) return undefined;
  return { descriptor: { mediaType: layerMediaType(found, dialect), digest: layer.blob, size }, file };
}

function inspectBlob(file: string): { compression: Compression; size: number } {
  const fd = openSync(file, 'r');
  try {
    const head = Buffer.alloc(4);
    readSync(fd, head, 0, 4, 0);
    const isGzip = head[0] === 0x1f && head[1] === 0x8b;
    return { compression: isGzip ? 'gzip' : head.readUInt32LE(0) === 0xfd2fb528 ? 'zstd' : 'none', size: fstatSync(fd).size };
  } finally {
    closeSync(fd);
  }
}

/** Into a file of this process. */
export async function fetchBlob(place: Workplace, { descriptor, absent }: AbsentBlob): Promise<LayerBlob> {
  const file = place.newPath();
  await pipeline(place.layers.openAbsent(absent), createWriteStream(file, { flags: 'wx', mode: 0o600 }));
  const { digest, size } = await place.serve.call('sha256', { path: file });
  if (`sha256:${digest}` === descriptor.digest && size === descriptor.size) return { descriptor, file };
  throw new TbuildError('store/damaged', `the blob that should be ${descriptor.digest} came as sha256:${digest}`);
}

/** `file`: where it goes, to be read while it grows. */
export async function makeBlob(place: Workplace, blob: UnmadeBlob, file: string = place.newPath()): Promise<LayerBlob> {
  const { diffId, mediaType, compression, level } = blob;
  const layer = await place.layers.present(blob.layer);
  const summary = await place.layers.writeTar(layer, { out: file, compression, ...(level !== undefined && { level }) });
  if (`sha256:${summary.diffId}` !== diffId) {
    throw new TbuildError(
      'store/damaged',
      `the layer ${layer.id} makes the tar sha256:${summary.diffId}, the image wants ${diffId}`,
      {
        hint: 'run tbuild fsck',
      },
    );
  }
  return { descriptor: { mediaType, digest: `sha256:${summary.digest}`, size: summary.size }, file, isMade: true };
}
