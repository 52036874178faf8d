// `save` and the build's exports: images of the store as an OCI layout (a tar or a folder) or as docker-archive, which since docker 25 is an OCI layout
// with a manifest.json. Equal images give equal bytes: sorted entries, no times, our own compression. An image that came from outside with a
// manifest goes out as an OCI layout with that manifest, as long as its blobs are here, so that its manifest's digest survives.

import type { Writable } from 'node:stream';
import { type Digest, hexOf, sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import { type Compression, type Descriptor, encodeManifest, type Manifest, mediaTypes } from '../oci/descriptor.ts';
import { platformOf } from '../oci/platform.ts';
import { familiarName, normalizeName } from '../oci/reference.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { Image } from './image.ts';
import { type LayerBlob, layerBlobs, originalBlobs } from './layer-blobs.ts';
import { type Content, encodeIndex, LAYOUT_FILE, writeArchive, writeFolder } from './layout-writer.ts';
import { type Images, nameAnnotations } from './store.ts';

export interface SaveOptions {
  readonly format: 'oci' | 'docker';
  /** A file or a folder; `-`: standard output. */
  readonly destination: string | Writable;
  /** A layout's folder in place of a tar; an existing layout is added to. Only with `oci`. */
  readonly directory?: boolean;
  /** Of layers that are not here compressed in that way already. */
  readonly compression: Compression;
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
  if (options.directory && (options.format !== 'oci' || typeof options.destination !== 'string' || options.destination === '-'))
    throw new TbuildError('usage/no-folder', 'only an OCI layout can be written as a folder, and only to a path');
  const prepared: Prepared[] = [];
  for (const [image, saved] of selectImages(store, names)) prepared.push(await prepare(place, store, image, saved, options));
  const files = new Map(prepared.flatMap(({ contents }) => contents.map(([digest, content]) => [blobName(digest), content])));
  const entries = prepared.flatMap(indexEntries);
  if (options.directory) return writeFolder(options.destination as string, files, entries);
  files.set('oci-layout', { bytes: Buffer.from(LAYOUT_FILE) });
  files.set('index.json', { bytes: encodeIndex(entries) });
  if (options.format === 'docker') files.set('manifest.json', { bytes: encodeDockerManifest(prepared) });
  await writeArchive(options.destination, files);
}

function selectImages(store: Images, names: readonly string[]): [Image, string[]][] {
  const selected = new Map<Digest, [Image, string[]]>();
  for (const name of names) {
    const image = store.resolve(name);
    const entry = selected.get(image.id) ?? [image, []];
    selected.set(image.id, entry);
    const full = fullName(name);
    if (full !== undefined && image.names.includes(full) && !entry[1].includes(full)) entry[1].push(full);
  }
  return [...selected.values()];
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
  options: SaveOptions,
): Promise<Prepared> {
  const original = options.format === 'oci' ? store.originalManifest(image) : undefined;
  const originals = original && (await originalBlobs(place, store.blobs, image, original.manifest.layers));
  if (originals) return pack(image, names, original.manifest, original.bytes, originals);
  const blobs = await layerBlobs(place, store.blobs, image, options.compression);
  const config = { mediaType: mediaTypes.config, digest: image.id, size: Buffer.byteLength(image.configText) };
  const layers = blobs.map(({ descriptor }) => descriptor);
  const manifest: Manifest = { kind: 'manifest', mediaType: mediaTypes.manifest, config, layers };
  return pack(image, names, manifest, encodeManifest(config, layers), blobs);
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

function blobName(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`;
}

/** One for each name; one without a name for an image saved by its ID. */
function indexEntries({ image, names, manifest }: Prepared): Descriptor[] {
  const platform = platformOf(image.config);
  if (names.length === 0) return [{ ...manifest, platform }];
  return names.map((name) => ({ ...manifest, annotations: nameAnnotations(name), platform }));
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
