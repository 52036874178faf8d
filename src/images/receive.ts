// Brings images from outside into the store. All layers of all of them are unpacked and checked first, in the process's own folder; only then
// anything is committed, so that whatever is wrong with an image leaves the store as it was. Layers from far away are kept when they are whole,
// for whoever tries again: they go only where something is wrong with the image itself.

import { copyFile, mkdir, rm, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import { type Digest, sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { LayerSummary, UnpackedLayer } from '../native/serve.ts';
import type { Blobs } from '../oci/blobs.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { LayerIndex } from '../snapshots/layer-index.ts';
import { isPresent, type Origin, type PresentLayer } from '../snapshots/layers.ts';
import { type UnpackedLimit, unpackedLimit } from '../snapshots/unpacked.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { FarLayer, Image, IncomingImage, IncomingLayer, NearLayer } from './image.ts';
import { fitImplied, isFitting } from './implied-directories.ts';
import { withLayerLock } from './layer-lock.ts';
import type { Images } from './store.ts';

/** A blob that was checked and is to be kept. */
interface StagedBlob {
  readonly file: string;
  readonly digest: Digest;
}

/** A layer that was checked: `known` are those of this diff ID in the store, `fresh` is what was unpacked when there was none. */
interface StagedLayer {
  readonly known: readonly PresentLayer[];
  readonly fresh: FreshLayer | undefined;
  readonly blob: StagedBlob | undefined;
}

interface FreshLayer {
  readonly summary: LayerSummary;
  readonly origin: Origin;
}

/** The layer of an image, with the attributes that its implied directories get from the layers below. */
type FittedLayer = PresentLayer | FreshLayer;

export interface ReceiveOptions {
  /** Layers at a time; unset: as many as there are CPUs. */
  readonly concurrency?: number;
  readonly onLayer?: (layer: IncomingLayer, state: 'known' | 'unpacked') => void;
  readonly signal?: AbortSignal;
}

export async function receiveImages(
  place: Workplace,
  store: Images,
  incoming: readonly IncomingImage[],
  options: ReceiveOptions = {},
): Promise<Image[]> {
  const kept: Digest[] = [];
  const added: Digest[] = [];
  let isKept = false;
  try {
    const staged = await stageAll(place, store.blobs, incoming, options, kept);
    const fitted: FittedLayer[][] = [];
    for (const layers of staged) fitted.push(await fitLayers(place, layers));
    return incoming.map((image, position) =>
      commitImage(place, store, image, staged[position] as StagedLayer[], fitted[position] as FittedLayer[], added),
    );
  } catch (error) {
    isKept = !(error instanceof TbuildError) || !error.code.startsWith('image/');
    store.releaseLayers(added);
    throw error;
  } finally {
    // Of an image that is here, what did not fit it.
    if (!isKept && kept.length > 0) store.releaseLayers(kept);
  }
}

/** Layers that several images share are unpacked once. After a failure nothing more is begun or fetched, and what is under way is waited for. */
async function stageAll(
  place: Workplace,
  blobs: Blobs,
  incoming: readonly IncomingImage[],
  { concurrency = availableParallelism(), onLayer = () => {}, signal }: ReceiveOptions,
  kept: Digest[],
): Promise<StagedLayer[][]> {
  const limit = pLimit({ concurrency, rejectOnClear: true });
  const staging = new Map<string, Promise<StagedLayer>>();
  const failures: unknown[] = [];
  const check = () => {
    signal?.throwIfAborted();
    if (failures.length > 0) throw new TbuildError('cancelled/layer', 'another layer of the image has failed');
  };
  const stage = async (image: IncomingImage, layer: IncomingLayer): Promise<StagedLayer> => {
    const wanted = 'open' in layer ? { ...layer, open: () => checked(layer.open(), check) } : layer;
    const staged = await stageLayer(place, blobs, image, wanted);
    onLayer(layer, staged.fresh ? 'unpacked' : 'known');
    return 'open' in layer && staged.fresh ? keepLayer(place, blobs, staged, staged.fresh, kept) : staged;
  };
  const stageOnce = async (image: IncomingImage, layer: IncomingLayer): Promise<StagedLayer> => {
    const isHereNow = place.layers.withDiffId(layer.diffId).some(isPresent);
    try {
      if (isHereNow || !('open' in layer)) return await stage(image, layer);
      return await withLayerLock(place, layer, check, () => stage(image, layer));
    } catch (error) {
      failures.push(error);
      limit.clearQueue();
      throw error;
    }
  };
  const keyOf = ({ diffId, blob }: IncomingLayer) => `${diffId} ${blob?.digest}`;
  for (const { image, layer } of largestFirst(incoming)) {
    const key = keyOf(layer);
    const staged = staging.get(key) ?? limit(() => stageOnce(image, layer));
    staging.set(key, staged);
  }
  await Promise.allSettled(staging.values());
  if (failures.length > 0) throw failures[0];
  const stagedAs = (layer: IncomingLayer) => staging.get(keyOf(layer)) as Promise<StagedLayer>;
  return Promise.all(incoming.map(({ layers }) => Promise.all(layers.map(stagedAs))));
}

/** What takes longest is begun first, so that it is not alone at the end. */
function largestFirst(incoming: readonly IncomingImage[]): { image: IncomingImage; layer: IncomingLayer }[] {
  const sizeOf = ({ blob }: IncomingLayer) => blob?.size ?? 0;
  const all = incoming.flatMap((image) => image.layers.map((layer) => ({ image, layer })));
  return all.sort((a, b) => sizeOf(b.layer) - sizeOf(a.layer));
}

async function* checked(chunks: AsyncIterable<Uint8Array>, check: () => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    check();
    yield chunk;
  }
}

async function stageLayer(place: Workplace, blobs: Blobs, image: IncomingImage, layer: IncomingLayer): Promise<StagedLayer> {
  const known = place.layers.withDiffId(layer.diffId).filter(isPresent);
  if (known.length === 0) return unpackLayer(place, blobs, image, layer);
  // Fetching from an archive costs little, and the manifest's digest survives. From far away it would cost all that is saved.
  const isWanted = 'fetch' in layer && isWorthKeeping(layer) && !isHere(blobs, layer);
  return { known, fresh: undefined, blob: isWanted ? await fetchBlob(place, image, layer) : undefined };
}

/** A blob that is the plain tar can be made again from the layer, byte for byte. */
function isWorthKeeping({ blob, diffId }: IncomingLayer): boolean {
  return blob !== undefined && blob.digest !== diffId;
}

function isHere(blobs: Blobs, { blob }: IncomingLayer): boolean {
  return blob !== undefined && blobs.has(blob.digest, blob.size);
}

async function fetchBlob(place: Workplace, image: IncomingImage, layer: NearLayer): Promise<StagedBlob> {
  const blob = layer.blob as Descriptor;
  const file = place.newPath();
  await layer.fetch(file);
  const { digest, size } = await place.serve.call('sha256', { path: file });
  assertBlob(image, blob, digest, size);
  return { file, digest: blob.digest };
}

async function unpackLayer(place: Workplace, blobs: Blobs, image: IncomingImage, layer: IncomingLayer): Promise<StagedLayer> {
  if (layer.blob && isHere(blobs, layer)) {
    const unpacking = unpackFile(place, image, layer, blobs.path(layer.blob.digest), false);
    // A kept blob may be damaged by now, or gone: it is fetched like any other.
    return 'open' in layer ? unpacking.catch(() => unpackFar(place, image, layer)) : unpacking;
  }
  if ('open' in layer) return unpackFar(place, image, layer);
  const archive = place.newPath();
  await layer.fetch(archive);
  return unpackFile(place, image, layer, archive, true);
}

/** `isOurs`: the file is to be kept or removed. */
async function unpackFile(
  place: Workplace,
  image: IncomingImage,
  layer: IncomingLayer,
  archive: string,
  isOurs: boolean,
): Promise<StagedLayer> {
  const out = place.newPath();
  const limit = unpackedLimit((await stat(archive)).size);
  const { driver } = place.driver;
  const summary = await place.serve
    .call('unpack', { driver, out, archive, whiteouts: true, split: true, maxBytes: limit.maxBytes })
    .catch((cause) => Promise.reject(layerError(image, layer, limit, cause)));
  return checkedLayer(image, layer, summary, out, isOurs ? archive : undefined);
}

/** What fails leaves nothing behind, for an image may be large. */
async function unpackFar(place: Workplace, image: IncomingImage, layer: FarLayer): Promise<StagedLayer> {
  const folder = place.newPath();
  await mkdir(folder);
  try {
    return await unpackInto(place, folder, image, layer);
  } catch (error) {
    await place.serve.call('remove', { path: folder }).catch(() => {});
    throw error;
  }
}

async function unpackInto(place: Workplace, folder: string, image: IncomingImage, layer: FarLayer): Promise<StagedLayer> {
  const { unpackStream } = await import('./unpack-stream.ts');
  const limit = unpackedLimit(layer.blob.size);
  const { unpacked, out, file } = await unpackStream(place, folder, layer.open(), { maxBytes: limit.maxBytes });
  if (!('failure' in unpacked)) return checkedLayer(image, layer, unpacked, out, file);
  const error = layerError(image, layer, limit, unpacked.failure);
  if (error === unpacked.failure) throw error;
  // What cannot be unpacked may be something else than the layer that was asked for.
  const { digest, size } = await place.serve.call('sha256', { path: file });
  assertBlob(image, layer.blob, digest, size);
  throw error;
}

/** `file`: the blob, to be kept or removed. */
async function checkedLayer(
  image: IncomingImage,
  layer: IncomingLayer,
  summary: UnpackedLayer,
  out: string,
  file: string | undefined,
): Promise<StagedLayer> {
  const { diffId, blob } = layer;
  if (blob) assertBlob(image, blob, summary.blobDigest, summary.blobSize);
  if (`sha256:${summary.diffId}` !== diffId) {
    throw new TbuildError('image/wrong-layer', `${image.label}: the layer that should be ${diffId} is sha256:${summary.diffId}`);
  }
  const isKept = file !== undefined && isWorthKeeping(layer);
  if (file !== undefined && !isKept) await rm(file, { force: true });
  const { tarSize, split } = summary;
  const origin: Origin = { diffId, tarSize, blob: blob?.digest ?? diffId, splitFile: split ?? `${out}.split` };
  return { known: [], fresh: { summary, origin }, blob: isKept && blob ? { file, digest: blob.digest } : undefined };
}

/** Fitted to what is below it, it may become another. */
function keepLayer(
  place: Workplace,
  blobs: Blobs,
  { blob }: StagedLayer,
  { summary, origin }: FreshLayer,
  kept: Digest[],
): StagedLayer {
  if (blob) blobs.adopt(blob.file, blob.digest);
  const layer = place.layers.commit(summary, place.driver.driver, origin);
  kept.push(layer.id);
  return { known: [layer], fresh: undefined, blob: undefined };
}

function assertBlob(image: IncomingImage, blob: Descriptor, hex: string, size: number): void {
  if (`sha256:${hex}` === blob.digest && size === blob.size) return;
  throw new TbuildError(
    'image/wrong-blob',
    `${image.label}: the blob that should be ${blob.digest} (${blob.size} bytes) is sha256:${hex} (${size} bytes)`,
  );
}

/** What is wrong with the tar of a layer is said with the image it is of; a full disk is no matter of the image. */
function layerError(image: IncomingImage, layer: IncomingLayer, { why, hint }: UnpackedLimit, cause: unknown): unknown {
  if (!(cause instanceof TbuildError) || cause.code.startsWith('store/') || cause.code === 'native/crashed') return cause;
  if (cause.code === 'native/over-limit') {
    return new TbuildError('image/too-large', `${image.label}: the layer ${layer.diffId} unpacks to more than ${why}`, { hint });
  }
  return new TbuildError('image/bad-layer', `${image.label}: cannot unpack the layer ${layer.diffId}: ${cause.message}`, {
    cause,
  });
}

async function fitLayers(place: Workplace, staged: readonly StagedLayer[]): Promise<FittedLayer[]> {
  const below: LayerIndex[] = [];
  const fitted: FittedLayer[] = [];
  for (const layer of staged) {
    const layerFitted = await fitLayer(place, layer, below);
    fitted.push(layerFitted);
    below.push('summary' in layerFitted ? LayerIndex.read(layerFitted.summary.index) : place.layers.index(layerFitted.id));
  }
  return fitted;
}

async function fitLayer(place: Workplace, { known, fresh }: StagedLayer, below: readonly LayerIndex[]): Promise<FittedLayer> {
  if (fresh) {
    const index = LayerIndex.read(fresh.summary.index);
    if (isFitting(index, below)) return fresh;
    const source = place.driver.driver === 'erofs' ? { data: fresh.summary.data } : { root: fresh.summary.data };
    const splitFile = await copyToOwn(place, fresh.origin.splitFile as string);
    return {
      summary: await fitImplied(place, index, source, below, fresh.origin.diffId),
      origin: { ...fresh.origin, splitFile },
    };
  }
  // A layer of our own names its implied directories in its tar: they are as this image says already.
  const fitting = known.find((layer) => !layer.split || isFitting(place.layers.index(layer.id), below));
  if (fitting) return fitting;
  const other = known[0] as PresentLayer & { diffId: Digest; tarSize: number };
  const splitFile = await copyToOwn(place, place.layers.splitPath(other.id));
  const summary = await fitImplied(place, place.layers.index(other.id), place.layers.source(other), below, other.diffId);
  return { summary, origin: { diffId: other.diffId, tarSize: other.tarSize, blob: other.blob ?? other.diffId, splitFile } };
}

async function copyToOwn(place: Workplace, file: string): Promise<string> {
  const copy = place.newPath();
  await copyFile(file, copy);
  return copy;
}

/** `added` hears of each layer that was not in the store before. */
function commitImage(
  place: Workplace,
  store: Images,
  image: IncomingImage,
  staged: readonly StagedLayer[],
  fitted: readonly FittedLayer[],
  added: Digest[],
): Image {
  const { blobs } = store;
  for (const { blob } of staged) if (blob) blobs.adopt(blob.file, blob.digest);
  const layers = fitted.map((layer) => {
    if (!('summary' in layer)) return layer;
    const isNew = place.layers.get(`blake3:${layer.summary.id}`) === undefined;
    const committed = place.layers.commit(layer.summary, place.driver.driver, layer.origin);
    if (isNew) added.push(committed.id);
    return committed;
  });
  blobs.write(image.config);
  if (image.manifest) blobs.write(image.manifest);
  return store.put({
    config: image.config,
    layers,
    names: image.names,
    ...(image.manifest ? { manifest: sha256(image.manifest) } : {}),
  });
}
