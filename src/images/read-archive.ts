// What images an archive or a layout holds: an OCI image layout (image-spec image-layout.md), or docker-archive (manifest.json; docker save of
// today writes both into one file). Documents are read and checked here; layers are only pointed at.

import { constants } from 'node:fs';
import { copyFile, link, readFile } from 'node:fs/promises';
import { type Digest, hexOf, sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { ImageConfig, Platform } from '../oci/config.ts';
import {
  assertRunnable,
  type Descriptor,
  type Index,
  MAX_CONFIG_BYTES,
  MAX_MANIFEST_BYTES,
  type Manifest,
  parseManifest,
} from '../oci/descriptor.ts';
import { asList, asMembers, asString, optional, parseJson } from '../oci/document.ts';
import { parseImageConfig } from '../oci/image-config.ts';
import { familiarName, normalizeName } from '../oci/reference.ts';
import { type ArchiveFile, type ArchiveFiles, badArchive } from './archive-files.ts';
import { type Chosen, type ChosenIndex, chooseManifests, type LayoutReader } from './choose-manifests.ts';
import type { IncomingImage, IncomingIndex, NearLayer } from './image.ts';

/** `platform`: of what is there for several only the image for this one; undefined: all of them. */
export async function readImages(
  files: ArchiveFiles,
  platform: Platform | undefined,
): Promise<(IncomingImage | IncomingIndex)[]> {
  const dockerImages = await readDockerManifest(files);
  if (await files.find('oci-layout')) return readLayout(files, platform, dockerImages ?? []);
  if (dockerImages) return Promise.all(dockerImages.map((image) => openDockerImage(files, image)));
  const isOld = (await files.find('repositories')) !== undefined;
  if (isOld) {
    throw new TbuildError('unsupported/archive', `${files.label} was written by a docker before 1.10`, {
      hint: 'load it with docker, and save it again',
    });
  }
  throw badArchive(files.label, 'it has neither an oci-layout nor a manifest.json');
}

/** All of it is in the archive. */
export type NearImage = IncomingImage & { readonly layers: readonly NearLayer[] };

/** Those of a manifest.json, whatever else there is; undefined: there is none. */
export async function readDockerImages(files: ArchiveFiles): Promise<NearImage[] | undefined> {
  const images = await readDockerManifest(files);
  return images && Promise.all(images.map((image) => openDockerImage(files, image)));
}

/** Those of a layout that `select` leaves of its index, for one platform. */
export async function readLayoutImages(
  files: ArchiveFiles,
  platform: Platform,
  select: (descriptors: readonly Descriptor[]) => readonly Descriptor[],
): Promise<IncomingImage[]> {
  const index = await readIndex(files);
  const selected = { ...index, manifests: [...select(index.manifests)] };
  const chosen = await chooseManifests(selected, platform, layoutReader(files));
  return Promise.all(chosen.flatMap((each) => (each.kind === 'manifest' ? openLayoutImage(files, each) : [])));
}

/** The index.json of a layout. */
export async function readIndex(files: ArchiveFiles): Promise<Index> {
  const { label } = files;
  const layout = asMembers(parseJson(await readNamed(files, 'oci-layout', MAX_MANIFEST_BYTES), `${label}: oci-layout`), label);
  const version = optional(layout, 'imageLayoutVersion', label, asString);
  if (version !== '1.0.0') throw badArchive(label, `its layout has the version ${version ?? 'none'}, not 1.0.0`);
  const index = parseManifest(await readNamed(files, 'index.json', MAX_MANIFEST_BYTES), `${label}: index.json`);
  if (index.kind !== 'index') throw badArchive(label, 'its index.json is no index');
  return index;
}

const layoutReader = (files: ArchiveFiles): LayoutReader => ({
  label: files.label,
  read: (descriptor) => readDocument(files, descriptor),
  has: async ({ digest, size }) => (await files.find(`blobs/sha256/${hexOf(digest)}`))?.size === size,
  readBlob: async (descriptor, limitBytes) => {
    const file = await files.find(`blobs/sha256/${hexOf(descriptor.digest)}`);
    return file?.size === descriptor.size && file.size <= limitBytes ? readBlob(files, descriptor, limitBytes) : undefined;
  },
});

async function readLayout(
  files: ArchiveFiles,
  platform: Platform | undefined,
  dockerImages: readonly DockerImage[],
): Promise<(IncomingImage | IncomingIndex)[]> {
  const chosen = await chooseManifests(await readIndex(files), platform, layoutReader(files));
  const tagged = await Promise.all(dockerImages.map((image) => readConfigOf(files, image)));
  return Promise.all(
    chosen.map((each) => {
      if (each.kind === 'index') return openLayoutIndex(files, each);
      const more = tagged.filter(({ digest }) => digest === each.manifest.config.digest).flatMap(({ names }) => names);
      return openLayoutImage(files, { ...each, names: [...new Set([...each.names, ...more])] });
    }),
  );
}

async function openLayoutIndex(
  files: ArchiveFiles,
  { bytes, platforms, attestations, names }: ChosenIndex,
): Promise<IncomingIndex> {
  const [first] = platforms;
  return {
    label: labelOf(files, names, first?.chosen.descriptor.digest as Digest),
    document: bytes,
    platforms: await Promise.all(
      platforms.map(async ({ platform, chosen }) => ({ platform, image: await openLayoutImage(files, chosen) })),
    ),
    attestations,
    names,
  };
}

async function openLayoutImage(files: ArchiveFiles, { descriptor, manifest, bytes, names }: Chosen): Promise<IncomingImage> {
  const label = labelOf(files, names, descriptor.digest);
  assertRunnable(manifest, label);
  const config = await readBlob(files, manifest.config, MAX_CONFIG_BYTES);
  const diffIds = diffIdsOf(parseImageConfig(config, `${label}, config`), manifest.layers.length, label);
  return {
    label,
    config,
    manifest: bytes,
    names,
    layers: manifest.layers.map((blob, position) => ({
      diffId: diffIds[position] as Digest,
      blob,
      fetch: async (to) => copyFrom(files, await findBlob(files, blob), to),
    })),
  };
}

function labelOf(files: ArchiveFiles, [name]: readonly string[], digest: Digest): string {
  return `${files.label}: ${name === undefined ? digest : familiarName(name)}`;
}

function diffIdsOf(config: ImageConfig, layerCount: number, label: string): Digest[] {
  const diffIds = config.rootfs.diff_ids as Digest[];
  if (diffIds.length !== layerCount)
    throw badArchive(label, `it has ${layerCount} layers, its config speaks of ${diffIds.length}`);
  return diffIds;
}

/** Checked against its descriptor. */
export async function readDocument(
  files: ArchiveFiles,
  descriptor: Descriptor,
): Promise<{ document: Manifest | Index; bytes: Buffer }> {
  const bytes = await readBlob(files, descriptor, MAX_MANIFEST_BYTES);
  return { document: parseManifest(bytes, `${files.label}: manifest ${descriptor.digest}`), bytes };
}

export async function readBlob(files: ArchiveFiles, descriptor: Descriptor, limitBytes: number): Promise<Buffer> {
  const file = await findBlob(files, descriptor);
  const bytes = await readLimited(files, file, `blob ${descriptor.digest}`, limitBytes);
  if (sha256(bytes) !== descriptor.digest)
    throw badArchive(files.label, `the blob ${descriptor.digest} has other bytes than its digest says`);
  return bytes;
}

/** Whose digest is not checked yet. */
export async function findBlob(files: ArchiveFiles, { digest, size }: Descriptor): Promise<ArchiveFile> {
  const file = await files.find(`blobs/sha256/${hexOf(digest)}`);
  if (!file) throw badArchive(files.label, `the blob ${digest} is missing`);
  if (file.size !== size) throw badArchive(files.label, `the blob ${digest} has ${file.size} bytes, its descriptor says ${size}`);
  return file;
}

async function readNamed(files: ArchiveFiles, name: string, limitBytes: number): Promise<Buffer> {
  const file = await files.find(name);
  if (!file) throw badArchive(files.label, `${name} is missing`);
  return readLimited(files, file, name, limitBytes);
}

async function readLimited(files: ArchiveFiles, file: ArchiveFile, what: string, limitBytes: number): Promise<Buffer> {
  if (file.size > limitBytes)
    throw badArchive(files.label, `the ${what} has ${file.size} bytes, more than the ${limitBytes} allowed`);
  return readFile(file.path);
}

/** A spooled file is ours already: another name for it will do. Someone's own file may change any time, so it is copied (or cloned) first. */
async function copyFrom(files: ArchiveFiles, file: ArchiveFile, to: string): Promise<void> {
  if (files.isOurs) await link(file.path, to);
  else await copyFile(file.path, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
}

/** One image of manifest.json. */
interface DockerImage {
  /** Names in the archive. */
  readonly config: string;
  readonly layers: readonly string[];
  readonly names: readonly string[];
}

/** undefined: no manifest.json. */
async function readDockerManifest(files: ArchiveFiles): Promise<DockerImage[] | undefined> {
  const file = await files.find('manifest.json');
  if (!file) return undefined;
  const where = `${files.label}: manifest.json`;
  const bytes = await readLimited(files, file, 'manifest.json', MAX_MANIFEST_BYTES);
  return asList(parseJson(bytes, where), where, (value, place) => {
    const members = asMembers(value, place);
    return {
      config: asString(members.get('Config'), `${place}, Config`),
      layers: optional(members, 'Layers', place, (list, at) => asList(list, at, asString)) ?? [],
      names: (optional(members, 'RepoTags', place, (list, at) => asList(list, at, asString)) ?? []).map(normalizeName),
    };
  });
}

async function readConfigOf(
  files: ArchiveFiles,
  image: DockerImage,
): Promise<{ digest: Digest; bytes: Buffer; names: readonly string[] }> {
  const bytes = await readNamed(files, image.config, MAX_CONFIG_BYTES);
  const digest = sha256(bytes);
  const promised = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(image.config)?.[1];
  if (promised !== undefined && promised !== hexOf(digest))
    throw badArchive(files.label, `the config ${image.config} has other bytes than its name says`);
  return { digest, bytes, names: image.names };
}

async function openDockerImage(files: ArchiveFiles, image: DockerImage): Promise<NearImage> {
  const { bytes, digest } = await readConfigOf(files, image);
  const label = labelOf(files, image.names, digest);
  const diffIds = diffIdsOf(parseImageConfig(bytes, `${label}, config`), image.layers.length, label);
  const layers = image.layers.map((name, position): NearLayer => {
    const fetch = async (to: string): Promise<void> => {
      const file = await files.find(name);
      if (!file) throw badArchive(label, `its layer ${name} is missing`);
      await copyFrom(files, file, to);
    };
    return { diffId: diffIds[position] as Digest, blob: undefined, fetch };
  });
  return { label, config: bytes, manifest: undefined, names: image.names, layers };
}
