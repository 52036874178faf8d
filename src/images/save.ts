// `save` and the build's exports: images of the store as an OCI layout (a tar or a folder) or as docker-archive, which since docker 25 is an OCI layout
// with a manifest.json. Equal images give equal bytes: sorted entries, no times, our own compression. An image that came from outside with a
// manifest goes out as an OCI layout with that manifest, as long as its blobs are here, so that its manifest's digest survives.

import type { Writable } from 'node:stream';
import { type Digest, hexOf, sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { Platform } from '../oci/config.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { formatPlatform, platformOf } from '../oci/platform.ts';
import { familiarName, isPinned, normalizeName } from '../oci/reference.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { type Document, type DocumentOptions, describe, indexOf, isAsItCame, manifestOf, noted } from './documents.ts';
import type { Image, ImageIndex } from './image.ts';
import {
  type AbsentBlob,
  type BlobOptions,
  fetchBlob,
  type LayerBlob,
  makeBlob,
  planBlobs,
  planOriginals,
  type UnmadeBlob,
} from './layer-blobs.ts';
import { type Content, encodeIndex, LAYOUT_FILE, writeArchive, writeFolder } from './layout-writer.ts';
import type { Images } from './store.ts';
import { nameAnnotations } from './store-layout.ts';

export interface WriteOptions extends BlobOptions, DocumentOptions {
  readonly format: 'oci' | 'docker';
  /** A file or a folder; `-`: standard output. */
  readonly destination: string | Writable;
  /** A layout's folder in place of a tar; an existing layout is added to. Only with `oci`. */
  readonly directory?: boolean;
}

export interface SaveOptions extends WriteOptions {
  /** Of what is there for several platforms, the image for this one; unset: the whole index, which only `oci` can hold. */
  readonly platform?: Platform;
}

/** An image or an index, and the names it is saved under, in full. */
export interface Selected {
  readonly subject: Image | ImageIndex;
  readonly names: readonly string[];
}

/** An image ready to be written. */
interface Prepared {
  readonly image: Image;
  /** Those it is saved under, in full. */
  readonly names: readonly string[];
  readonly manifest: Descriptor;
  readonly layers: readonly Descriptor[];
  /** Every blob of it. */
  readonly contents: readonly (readonly [Digest, Content])[];
}

/** By name an image is saved under that name, by ID under none, as docker does. */
export async function saveImages(place: Workplace, store: Images, names: readonly string[], options: SaveOptions): Promise<void> {
  await writeImages(place, store, selectImages(store, names, options), options);
}

/** Returns what each of them is called by: the descriptor of its manifest or index. */
export async function writeImages(
  place: Workplace,
  store: Images,
  selected: readonly Selected[],
  options: WriteOptions,
): Promise<Descriptor[]> {
  if (options.directory && (options.format !== 'oci' || typeof options.destination !== 'string' || options.destination === '-'))
    throw new TbuildError('usage/no-folder', 'only an OCI layout can be written as a folder, and only to a path');
  const prepared: Prepared[] = [];
  const indexes: PreparedIndex[] = [];
  for (const { subject, names } of selected) {
    if ('document' in subject) indexes.push(await prepareIndex(place, store, subject, names, options));
    else prepared.push(await prepare(place, store, subject, names, options));
  }
  const files = new Map(
    [...prepared, ...indexes].flatMap(({ contents }) => contents.map(([digest, content]) => [blobName(digest), content])),
  );
  const written = [...prepared.map((image) => entryOf(image, options)), ...indexes];
  const entries = written.flatMap(indexEntries);
  const descriptors = written.map(({ descriptor }) => descriptor);
  if (options.directory) {
    await writeFolder(options.destination as string, files, entries);
    return descriptors;
  }
  files.set('oci-layout', { bytes: Buffer.from(LAYOUT_FILE) });
  files.set('index.json', { bytes: encodeIndex(entries) });
  const alone = [...prepared, ...indexes.flatMap(({ only }) => only ?? [])];
  if (options.format === 'docker') files.set('manifest.json', { bytes: encodeDockerManifest(alone.map(itemOf)) });
  await writeArchive(options.destination, files);
  return descriptors;
}

function selectImages(store: Images, names: readonly string[], options: SaveOptions): Selected[] {
  const selected = new Map<Digest, Selected & { readonly names: string[] }>();
  for (const name of names) {
    const index = store.resolveIndex(name);
    if (index && index.images.length > 1 && !options.platform && options.format === 'docker') throw severalPlatforms(name, index);
    const subject = index && !options.platform ? index : store.resolveFor(name, options.platform);
    const entry = selected.get(subject.id) ?? { subject, names: [] };
    selected.set(subject.id, entry);
    const full = fullName(name);
    const isTag = full !== undefined && !isPinned(full) && (index ?? subject).names.includes(full);
    if (isTag && !entry.names.includes(full)) entry.names.push(full);
  }
  return [...selected.values()];
}

function severalPlatforms(name: string, { images }: ImageIndex): TbuildError {
  const platforms = images.map(({ platform }) => formatPlatform(platform));
  const hint = `as an OCI archive it can be written whole (--format oci); else choose one with --platform ${platforms[0]}`;
  return new TbuildError(
    'image/several-platforms',
    `${name} is there for ${platforms.join(', ')}: an archive for docker holds one platform`,
    { hint },
  );
}

function fullName(text: string): string | undefined {
  try {
    return normalizeName(text);
  } catch {
    return undefined; // It is an ID.
  }
}

async function prepare(
  place: Workplace,
  store: Images,
  image: Image,
  names: readonly string[],
  options: WriteOptions,
): Promise<Prepared> {
  const original = options.format === 'oci' && isAsItCame(options) ? store.originalManifest(image) : undefined;
  const originals = original && planOriginals(place, store.blobs, image, original.manifest.layers);
  if (original && originals?.every((blob) => blob !== undefined)) {
    const { manifest, bytes } = original;
    return pack(image, names, describe(bytes, manifest.mediaType), manifest.layers, await makeBlobs(place, originals));
  }
  const blobs = await makeBlobs(place, planBlobs(place, store.blobs, image, options));
  const layers = blobs.map(({ descriptor }) => descriptor);
  return pack(image, names, manifestOf(image, layers, options), layers, blobs);
}

/** One after the other: each is compressed by as many threads as there are CPUs. */
async function makeBlobs(place: Workplace, planned: readonly (LayerBlob | AbsentBlob | UnmadeBlob)[]): Promise<LayerBlob[]> {
  const made: LayerBlob[] = [];
  for (const blob of planned) {
    if ('file' in blob) made.push(blob);
    else made.push('absent' in blob ? await fetchBlob(place, blob) : await makeBlob(place, blob));
  }
  return made;
}

function pack(
  image: Image,
  names: readonly string[],
  { descriptor, bytes }: Document,
  layers: readonly Descriptor[],
  blobs: readonly LayerBlob[],
): Prepared {
  return {
    image,
    names,
    manifest: descriptor,
    layers,
    contents: [
      [descriptor.digest, { bytes }],
      [image.id, { bytes: Buffer.from(image.configText) }],
      ...blobs.map(({ descriptor: { digest, size }, ...where }) => [digest, { ...where, size, digest }] as const),
    ],
  };
}

interface PreparedIndex {
  readonly descriptor: Descriptor;
  readonly names: readonly string[];
  /** Of its images, where there is one alone. */
  readonly only: Prepared | undefined;
  readonly contents: Prepared['contents'];
}

async function prepareIndex(
  place: Workplace,
  store: Images,
  subject: ImageIndex,
  names: readonly string[],
  options: WriteOptions,
): Promise<PreparedIndex> {
  const prepared: Prepared[] = [];
  for (const { image } of subject.images) prepared.push(await prepare(place, store, image, [], options));
  const manifests = prepared.map(({ manifest }) => manifest);
  const { descriptor, bytes, attestations } = await indexOf(place, store.blobs, subject, manifests, options);
  return {
    descriptor: { ...descriptor, ...noted(options.annotate?.('descriptor', undefined)) },
    names,
    only: prepared.length === 1 ? { ...(prepared[0] as Prepared), names } : undefined,
    contents: [
      [descriptor.digest, { bytes }],
      ...prepared.flatMap(({ contents }) => contents),
      ...attestations.flatMap(({ blobs }) => blobs.map((blob) => [sha256(blob), { bytes: blob }] as const)),
    ],
  };
}

function entryOf(
  { image, names, manifest }: Prepared,
  { annotate }: WriteOptions,
): { readonly descriptor: Descriptor; readonly names: readonly string[] } {
  const platform = platformOf(image.config);
  return { descriptor: { ...manifest, ...noted(annotate?.('descriptor', platform)), platform }, names };
}

function blobName(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`;
}

/** One for each name; one without a name for what is saved by its ID. */
function indexEntries({
  descriptor,
  names,
}: {
  readonly descriptor: Descriptor;
  readonly names: readonly string[];
}): Descriptor[] {
  if (names.length === 0) return [descriptor];
  return names.map((name) => ({ ...descriptor, annotations: { ...descriptor.annotations, ...nameAnnotations(name) } }));
}

const itemOf = ({ image, names, layers }: Prepared): DockerItem => ({
  id: image.id,
  names,
  layers,
  diffIds: image.config.rootfs.diff_ids,
});

/** An image of a docker archive: `names` in full. */
export interface DockerItem {
  readonly id: Digest;
  readonly names: readonly string[];
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly string[];
}

/** docker's image/tarexport/save.go. */
export function encodeDockerManifest(images: readonly DockerItem[]): Buffer {
  const items = images.map(({ id, names, layers, diffIds }) => ({
    Config: blobName(id),
    RepoTags: names.length > 0 ? names.map(familiarName) : null,
    Layers: layers.map(({ digest }) => blobName(digest)),
    LayerSources: Object.fromEntries(layers.map((layer, position) => [diffIds[position], layer])),
  }));
  return Buffer.from(JSON.stringify(items));
}
