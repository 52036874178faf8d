// `cp`: an image from a registry, a layout or an archive to another, as skopeo copies it: nothing is kept, and its digest stays where there is one.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Digest, hexOf } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import { openArchiveFile, openFolder, spoolArchive } from '../images/archive-files.ts';
import { type Content, encodeIndex, LAYOUT_FILE, writeArchive, writeFolder } from '../images/layout-writer.ts';
import { makeParents } from '../images/place-file.ts';
import type { Platform } from '../oci/config.ts';
import { annotations, type Descriptor, type Index, isForeign, type Manifest, parseManifest } from '../oci/descriptor.ts';
import { formatPlatform, hostPlatform, rankPlatform } from '../oci/platform.ts';
import { formatReference, type Reference } from '../oci/reference.ts';
import { RegistryClient } from './client.ts';
import { copyManifest, type ManifestSource, remoteSource } from './copy.ts';
import { openDockerArchive, writeDockerArchive } from './docker-archive.ts';
import { openEngineImage, writeEngineImage } from './engine-image.ts';
import { openLayout, typed } from './layout-source.ts';
import { type LayoutLocation, type Location, parseLocation } from './locations.ts';
import type { FetchedManifest } from './repository.ts';

export interface CopyImageOptions {
  /** The whole index, in place of the image for one platform. */
  readonly isAll: boolean;
  /** Unset: this machine's. */
  readonly platform?: Platform;
  readonly signal: AbortSignal;
}

/** What was copied, as it is called at its destination. */
export async function copyImage(source: string, destination: string, options: CopyImageOptions): Promise<Descriptor> {
  const [from, to] = [parseLocation(source), parseLocation(destination)];
  const client = new RegistryClient({ signal: options.signal });
  const folder = await mkdtemp(join(tmpdir(), 'tbuild-cp-'));
  try {
    const opened = await openSource(client, from, folder, to, options.signal);
    const root = options.isAll ? opened.root : await chooseOne(opened.from, opened.root, options.platform ?? hostPlatform());
    return await writeImage(client, opened.from, root, to, folder, options.signal);
  } finally {
    await client.close();
    await rm(folder, { recursive: true, force: true });
  }
}

interface Opened {
  readonly from: ManifestSource;
  readonly root: FetchedManifest;
}

async function openSource(
  client: RegistryClient,
  location: Location,
  folder: string,
  to: Location,
  signal: AbortSignal,
): Promise<Opened> {
  // To docker, layers go as they are there; anywhere else compressed.
  const compression = to.kind === 'docker-archive' || to.kind === 'engine' ? 'none' : 'gzip';
  if (location.kind === 'docker-archive') return openDockerArchive(location, folder, compression, signal);
  if (location.kind === 'engine') return openEngineImage(location.name, folder, compression, signal);
  if (location.kind === 'registry') {
    const { reference } = location;
    const repository = await client.open(reference, { actions: ['pull'] });
    const root = await repository.fetchManifest(reference.digest ?? (reference.tag as string));
    return { from: remoteSource(repository), root: typed(root, formatReference(reference)) };
  }
  const { kind, path, tag } = location;
  const files = kind === 'folder' ? openFolder(path) : await spoolArchive(await openArchiveFile(path), path, folder);
  return openLayout(files, path, tag);
}

/** What it is called at its destination. */
async function writeImage(
  client: RegistryClient,
  from: ManifestSource,
  root: FetchedManifest,
  to: Location,
  folder: string,
  signal: AbortSignal,
): Promise<Descriptor> {
  if (to.kind === 'docker-archive') return writeDockerArchive(from, root, { to: to.path, name: to.name }, folder, signal);
  if (to.kind === 'engine') return writeEngineImage(from, root, to.name, folder, signal);
  if (to.kind === 'registry') await writeRemote(client, from, to.reference, root);
  else await writeLayout(from, to, root);
  return root.descriptor;
}

async function chooseOne(from: ManifestSource, root: FetchedManifest, platform: Platform): Promise<FetchedManifest> {
  const document = parseManifest(root.bytes, `the manifest ${root.descriptor.digest} of ${from.name}`);
  if (document.kind === 'manifest') return root;
  const ranked = document.manifests.flatMap((descriptor) => {
    const rank = descriptor.platform && rankPlatform(platform, descriptor.platform);
    return rank === undefined ? [] : [{ descriptor, rank }];
  });
  const [best] = ranked.sort((a, b) => a.rank - b.rank);
  if (best) return typed(await from.fetchManifest(best.descriptor.digest), from.name);
  throw new TbuildError('image/no-platform', `${from.name} has no image for ${formatPlatform(platform)}`, {
    hint: '--all copies the whole index, --platform chooses another image of it',
  });
}

async function writeRemote(
  client: RegistryClient,
  from: ManifestSource,
  reference: Reference,
  root: FetchedManifest,
): Promise<void> {
  const { digest, tag } = reference;
  if (digest !== undefined && digest !== root.descriptor.digest)
    throw new TbuildError(
      'usage/bad-value',
      `${formatReference(reference)} cannot be what has the digest ${root.descriptor.digest}`,
    );
  const to = await client.open(reference, { actions: ['pull', 'push'] });
  await copyManifest(from, to, root);
  if (tag !== undefined) await to.putManifest(root.descriptor, root.bytes, tag);
}

async function writeLayout(from: ManifestSource, to: LayoutLocation, root: FetchedManifest): Promise<void> {
  const files = new Map<string, Content>();
  await collect(from, root, files, MAX_DEPTH);
  const named = to.tag === undefined ? {} : { annotations: { [annotations.refName]: to.tag } };
  const entries = [{ ...root.descriptor, ...named }];
  makeParents(resolve(to.path));
  if (to.kind === 'folder') return writeFolder(to.path, files, entries);
  files.set('oci-layout', { bytes: Buffer.from(LAYOUT_FILE) });
  files.set('index.json', { bytes: encodeIndex(entries) });
  await writeArchive(to.path, files);
}

const MAX_DEPTH = 4;

/** A manifest with all below it, as files of a layout. */
async function collect(
  from: ManifestSource,
  { descriptor, bytes }: FetchedManifest,
  files: Map<string, Content>,
  depth: number,
): Promise<void> {
  if (depth === 0) throw new TbuildError('image/bad-document', `${from.name}: indexes are nested more than ${MAX_DEPTH} deep`);
  const nameOf = (digest: Digest) => `blobs/sha256/${hexOf(digest)}`;
  files.set(nameOf(descriptor.digest), { bytes });
  const document: Manifest | Index = parseManifest(bytes, `the manifest ${descriptor.digest} of ${from.name}`);
  if (document.kind === 'index') {
    for (const { digest } of document.manifests) await collect(from, await from.fetchManifest(digest), files, depth - 1);
    return;
  }
  for (const blob of [document.config, ...document.layers.filter((layer) => !isForeign(layer))]) {
    const source = await from.openBlob(blob);
    files.set(nameOf(blob.digest), { open: () => source.read(0), size: blob.size, digest: blob.digest });
  }
}
