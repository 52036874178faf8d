// What names stand for in their registries, and indexes put together of what is there: `imagetools`, in buildx's words (util/imagetools). Nothing of it
// touches the store.

import type { Digest } from '../base/digest.ts';
import { sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import { openFolder } from '../images/archive-files.ts';
import { isImage } from '../images/choose-manifests.ts';
import type { Platform } from '../oci/config.ts';
import {
  type Annotations,
  assertRunnable,
  type Descriptor,
  encodeImageIndex,
  type Index,
  MAX_CONFIG_BYTES,
  type Manifest,
  parseManifest,
} from '../oci/descriptor.ts';
import { parseImageConfig } from '../oci/image-config.ts';
import { matchesPlatform, platformOf } from '../oci/platform.ts';
import { formatReference, parseReference, type Reference, withDefaultTag } from '../oci/reference.ts';
import { RegistryClient } from './client.ts';
import { copyManifest, type ManifestSource, remoteSource } from './copy.ts';
import { openLayout } from './layout-source.ts';
import { listReferrers } from './referrers.ts';
import { type DetailsWanted, fetchDetails, type PlatformDetails } from './remote-details.ts';
import type { FetchedManifest, Repository } from './repository.ts';

export interface RemoteManifest {
  /** In full. */
  readonly name: string;
  /** Where it is: a repository, or a layout. With a digest it names a manifest there. */
  readonly place: string;
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
  readonly document: Manifest | Index;
  /** Signatures and statements that name it as their subject. */
  readonly referrers: readonly Descriptor[];
  /** Where they were asked for. */
  readonly details: readonly PlatformDetails[];
}

export async function inspectRemote(name: string, signal: AbortSignal, wanted?: DetailsWanted): Promise<RemoteManifest> {
  const client = new RegistryClient({ signal });
  try {
    const { document, descriptor, bytes, name: full, place, from, repository } = await fetchSource(client, name);
    const referrers = repository ? await listReferrers(repository, descriptor.digest) : [];
    const details = wanted ? await fetchDetails(from, document, wanted) : [];
    return { name: full, place, document, descriptor, bytes, referrers, details };
  } finally {
    await client.close();
  }
}

/** What a name stands for now, and the manifests of images that this is, each with its platform. */
export async function findManifests(
  client: RegistryClient,
  name: string,
): Promise<{ readonly digest: Digest; readonly manifests: readonly Descriptor[] }> {
  const source = await fetchSource(client, name);
  const entries = await entriesOf(source);
  return { digest: source.descriptor.digest, manifests: entries.map(({ descriptor }) => descriptor).filter(isImage) };
}

export interface CombineOptions {
  /** What is to be called by. */
  readonly tags: readonly string[];
  /** What the first of the tags has now comes first. */
  readonly append: boolean;
  /** Of the index. */
  readonly annotations: Annotations;
  /** Only what is for one of these; none: everything. */
  readonly platforms: readonly Platform[];
  /** Nothing is written. */
  readonly isDry: boolean;
  readonly signal: AbortSignal;
}

export interface Combined {
  readonly bytes: Buffer;
  readonly digest: Digest;
  /** In full. */
  readonly names: readonly string[];
}

/** An index of the manifests of all sources. One source that is an index already stays as it is, where nothing is changed. */
export async function combineRemote(names: readonly string[], options: CombineOptions): Promise<Combined> {
  const targets = options.tags.map(readTarget);
  for (const { digest, path } of targets) {
    if (digest !== undefined)
      throw new TbuildError('usage/bad-value', `${path}@${digest} has a digest: an index is named by a tag`);
  }
  const all = options.append ? [formatReference(targets[0] as Reference), ...names] : names;
  const client = new RegistryClient({ signal: options.signal });
  try {
    const sources: Source[] = [];
    for (const name of all) sources.push(await fetchSource(client, name));
    const entries = (await Promise.all(sources.map(entriesOf))).flat();
    const wanted = entries.filter(({ descriptor }) => isWanted(descriptor, entries, options.platforms));
    if (wanted.length === 0) throw new TbuildError('image/no-platform', 'no image of the sources is for these platforms');
    const bytes = indexBytes(sources, entries, wanted, options.annotations);
    const combined = { bytes, digest: sha256(bytes), names: targets.map(formatReference) };
    if (options.isDry) return combined;
    const document = parseManifest(bytes, 'the index');
    for (const target of targets) {
      const to = await client.open(target, { actions: ['pull', 'push'] });
      for (const { source, descriptor } of wanted) await copyEntry(source, to, descriptor.digest);
      const descriptor = { mediaType: document.mediaType, digest: combined.digest, size: bytes.length };
      await to.putManifest(descriptor, bytes, target.tag as string);
    }
    return combined;
  } finally {
    await client.close();
  }
}

function readTarget(tag: string): Reference {
  if (!tag.startsWith(LAYOUT)) return withDefaultTag(parseReference(tag));
  throw new TbuildError('unsupported/transport', `an index is not written to a layout: ${tag}`, {
    hint: 'write it to a registry, and from there with: tbuild cp --all NAME oci:DIR:TAG',
  });
}

interface Source extends FetchedManifest {
  /** In full. */
  readonly name: string;
  readonly place: string;
  readonly from: ManifestSource;
  /** Undefined: it is in a layout. */
  readonly repository: Repository | undefined;
  readonly document: Manifest | Index;
}

/** One manifest of the index to be. */
interface Entry {
  readonly source: Source;
  readonly descriptor: Descriptor;
}

/** `oci-layout://PATH[:TAG|@DIGEST]` is a folder, as for --build-context; anything else is a name in a registry. */
async function fetchSource(client: RegistryClient, name: string): Promise<Source> {
  if (name.startsWith(LAYOUT)) return readLayoutSource(name);
  const { tag, digest, ...rest } = withDefaultTag(parseReference(name));
  const reference = digest === undefined ? { ...rest, tag: tag as string } : { ...rest, digest };
  const repository = await client.open(reference, { actions: ['pull'] });
  const { descriptor, bytes } = await repository.fetchManifest(digest ?? (tag as string));
  const full = formatReference(reference);
  const document = parseManifest(bytes, `the manifest of ${full}`);
  const typed = { ...descriptor, mediaType: document.mediaType };
  return { name: full, place: repository.name, from: remoteSource(repository), repository, bytes, document, descriptor: typed };
}

const LAYOUT = 'oci-layout://';

async function readLayoutSource(name: string): Promise<Source> {
  const [, folder, tag, digest] = /^(.+?)(?::([^:@/]*))?(?:@(.*))?$/s.exec(name.slice(LAYOUT.length)) ?? [];
  if (folder === undefined) throw new TbuildError('usage/bad-value', `${name} names no folder`);
  const { from, root } = await openLayout(openFolder(folder), folder, digest ?? tag);
  const document = parseManifest(root.bytes, `the manifest of ${name}`);
  return { name, place: `${LAYOUT}${folder}`, from, repository: undefined, document, ...root };
}

async function entriesOf(source: Source): Promise<Entry[]> {
  const { document, descriptor, from, name } = source;
  if (document.kind === 'index') return document.manifests.map((each) => ({ source, descriptor: each }));
  assertRunnable(document, name);
  const config = parseImageConfig(await from.fetchBlob(document.config, MAX_CONFIG_BYTES), `${name}, config`);
  return [{ source, descriptor: { ...descriptor, platform: platformOf(config) } }];
}

/** Statements go with what they are of. */
function isWanted(descriptor: Descriptor, entries: readonly Entry[], platforms: readonly Platform[]): boolean {
  if (platforms.length === 0) return true;
  const of = descriptor.annotations?.['vnd.docker.reference.digest'];
  const about = of === undefined ? descriptor : entries.find((each) => each.descriptor.digest === of)?.descriptor;
  const { platform } = about ?? descriptor;
  return platform !== undefined && platforms.some((wanted) => matchesPlatform(wanted, platform));
}

function indexBytes(
  sources: readonly Source[],
  entries: readonly Entry[],
  wanted: readonly Entry[],
  annotations: Annotations,
): Buffer {
  const [only] = sources;
  const isUnchanged = sources.length === 1 && wanted.length === entries.length && Object.keys(annotations).length === 0;
  if (only && isUnchanged && only.document.kind === 'index') return only.bytes;
  const unique = new Map(wanted.map(({ descriptor }) => [descriptor.digest, descriptor]));
  return encodeImageIndex([...unique.values()], annotations);
}

async function copyEntry({ from, descriptor, bytes }: Source, to: Repository, digest: Digest): Promise<void> {
  if (from.name === to.name) return;
  const isItself = descriptor.digest === digest;
  await copyManifest(from, to, isItself ? { descriptor, bytes } : await from.fetchManifest(digest));
}
