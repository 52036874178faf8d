// `save` and the build's exports: images of the store as an OCI layout (a tar or a folder) or as docker-archive, which since docker 25 is an OCI layout
// with a manifest.json. Equal images give equal bytes: sorted entries, no times, our own compression. An image that came from outside with a
// manifest goes out as an OCI layout with that manifest, as long as its blobs are here, so that its manifest's digest survives.

import type { Writable } from 'node:stream';
import { type Digest, hexOf, sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { Platform } from '../oci/config.ts';
import {
  type Annotations,
  type Descriptor,
  encodeImageIndex,
  encodeManifest,
  type Index,
  type Manifest,
  mediaTypes,
  parseManifest,
} from '../oci/descriptor.ts';
import { formatPlatform, platformOf } from '../oci/platform.ts';
import { familiarName, normalizeName } from '../oci/reference.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { type Attestation, attestedBy, retarget, storedAttestations } from './attestations.ts';
import { isImage } from './choose-manifests.ts';
import type { Image, ImageIndex, PlatformImage } from './image.ts';
import { encodePlainManifest } from './keep-index.ts';
import { type BlobOptions, type LayerBlob, layerBlobs, originalBlobs } from './layer-blobs.ts';
import { type Content, encodeIndex, LAYOUT_FILE, writeArchive, writeFolder } from './layout-writer.ts';
import type { Images } from './store.ts';
import { nameAnnotations } from './store-layout.ts';

export interface WriteOptions extends BlobOptions {
  readonly format: 'oci' | 'docker';
  /** A file or a folder; `-`: standard output. */
  readonly destination: string | Writable;
  /** A layout's folder in place of a tar; an existing layout is added to. Only with `oci`. */
  readonly directory?: boolean;
  /** Written into manifests and indexes; those that came from outside stay as they are where there are none. */
  readonly annotate?: Annotate;
}

/** What is said beside an image, of itself or of the descriptor that names it; undefined platform: the index. */
export type Annotate = (where: 'itself' | 'descriptor', platform: Platform | undefined) => Annotations;

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
  if (options.format === 'docker') files.set('manifest.json', { bytes: encodeDockerManifest(alone) });
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
    const isTag = full !== undefined && !full.includes('@') && (index ?? subject).names.includes(full);
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
  const { annotate, dialect = 'oci' } = options;
  const isAsItCame = options.format === 'oci' && !annotate && dialect === 'oci';
  const original = isAsItCame ? store.originalManifest(image) : undefined;
  const originals = original && (await originalBlobs(place, store.blobs, image, original.manifest.layers));
  if (originals) return pack(image, names, original.manifest, original.bytes, originals);
  const blobs = await layerBlobs(place, store.blobs, image, options);
  const isOci = dialect === 'oci';
  const mediaType = isOci ? mediaTypes.config : mediaTypes.dockerConfig;
  const config = { mediaType, digest: image.id, size: Buffer.byteLength(image.configText) };
  const layers = blobs.map(({ descriptor }) => descriptor);
  const manifest: Manifest = {
    kind: 'manifest',
    mediaType: isOci ? mediaTypes.manifest : mediaTypes.dockerManifest,
    config,
    layers,
  };
  return pack(image, names, manifest, encodeManifest(config, layers, annotate?.('itself', platformOf(image.config))), blobs);
}

function pack(image: Image, names: readonly string[], manifest: Manifest, bytes: Buffer, blobs: readonly LayerBlob[]): Prepared {
  const digest = sha256(bytes);
  return {
    image,
    names,
    manifest: { mediaType: manifest.mediaType, digest, size: bytes.length },
    layers: manifest.layers,
    contents: [
      [digest, { bytes }],
      [image.id, { bytes: Buffer.from(image.configText) }],
      ...blobs.map(({ descriptor: { digest, size }, file }) => [digest, { file, size, digest }] as const),
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

/** The document it came with goes out again where its manifests do. */
async function prepareIndex(
  place: Workplace,
  store: Images,
  subject: ImageIndex,
  names: readonly string[],
  options: WriteOptions,
): Promise<PreparedIndex> {
  const { annotate } = options;
  const prepared: Prepared[] = [];
  for (const { image } of subject.images) prepared.push(await prepare(place, store, image, [], options));
  const known = parseManifest(Buffer.from(subject.document), `the index ${subject.id}`) as Index;
  const before = known.manifests.filter(isImage);
  const isSame = !annotate && before.every(({ digest }, position) => digest === prepared[position]?.manifest.digest);
  const attestations = await prepareAttestations(place, store, subject, before, prepared);
  const own = encodeImageIndex(
    [
      ...prepared.map(({ manifest }, position) => {
        const { platform } = subject.images[position] as PlatformImage;
        return { ...manifest, platform, ...noted(annotate?.('descriptor', platform)) };
      }),
      ...attestations.map(({ descriptor }) => descriptor),
    ],
    annotate?.('itself', undefined),
  );
  const bytes = isSame ? Buffer.from(subject.document) : own;
  const digest = sha256(bytes);
  const isDocker = options.dialect === 'docker' && attestations.length === 0;
  return {
    descriptor: {
      mediaType: isSame ? known.mediaType : isDocker ? mediaTypes.dockerIndex : mediaTypes.index,
      digest,
      size: bytes.length,
      ...noted(annotate?.('descriptor', undefined)),
    },
    names,
    only: prepared.length === 1 ? { ...(prepared[0] as Prepared), names } : undefined,
    contents: [
      [digest, { bytes }],
      ...prepared.flatMap(({ contents }) => contents),
      ...attestations.flatMap(({ blobs }) => blobs.map((blob) => [sha256(blob), { bytes: blob }] as const)),
    ],
  };
}

/**
 * Statements go with the manifest that they are of. Those of a build are of the manifest that nothing had to be written for: they are
 * made to be of the one that is written now. What others said of theirs is of no other.
 */
async function prepareAttestations(
  place: Workplace,
  store: Images,
  { document, images }: ImageIndex,
  before: readonly Descriptor[],
  prepared: readonly Prepared[],
): Promise<Attestation[]> {
  const written: Attestation[] = [];
  for (const attestation of await storedAttestations(store.blobs, document)) {
    const of = attestedBy(attestation.descriptor) as Digest;
    const position = before.findIndex(({ digest }) => digest === of);
    const now = prepared[position]?.manifest.digest;
    const isOfPlain = async () => sha256(await encodePlainManifest(place, (images[position] as PlatformImage).image)) === of;
    const same = now === of ? attestation : now && (await isOfPlain()) ? retarget(attestation, of, now) : undefined;
    if (same) written.push(same);
  }
  return written;
}

function entryOf(
  { image, names, manifest }: Prepared,
  { annotate }: WriteOptions,
): { readonly descriptor: Descriptor; readonly names: readonly string[] } {
  const platform = platformOf(image.config);
  return { descriptor: { ...manifest, ...noted(annotate?.('descriptor', platform)), platform }, names };
}

function noted(annotations: Annotations | undefined): { annotations?: Annotations } {
  return annotations && Object.keys(annotations).length > 0 ? { annotations } : {};
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

/** docker's image/tarexport/save.go. */
function encodeDockerManifest(images: readonly Prepared[]): Buffer {
  const items = images.map(({ image, names, layers }) => ({
    Config: blobName(image.id),
    RepoTags: names.length > 0 ? names.map(familiarName) : null,
    Layers: layers.map(({ digest }) => blobName(digest)),
    LayerSources: Object.fromEntries(layers.map((layer, position) => [image.config.rootfs.diff_ids[position], layer])),
  }));
  return Buffer.from(JSON.stringify(items));
}
