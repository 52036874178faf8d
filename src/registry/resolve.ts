// What a reference stands for in its registry: of an index the manifest for a platform, and the config below it. Documents only, each checked against
// its digest and its descriptor; no layer is fetched.

import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import { type Chosen, chooseManifests, type LayoutReader } from '../images/choose-manifests.ts';
import type { ImageConfig, Platform } from '../oci/config.ts';
import {
  assertRunnable,
  type Descriptor,
  type Index,
  MAX_CONFIG_BYTES,
  MAX_MANIFEST_BYTES,
  type Manifest,
  mediaTypes,
  parseManifest,
} from '../oci/descriptor.ts';
import { parseImageConfig } from '../oci/image-config.ts';
import { formatPlatform, matchesPlatform } from '../oci/platform.ts';
import { formatReference, type Reference, withDefaultTag } from '../oci/reference.ts';
import type { FetchedManifest, Repository } from './repository.ts';

/** An image as its registry has it. */
export interface RemoteImage {
  /** In full: with a tag, or with a digest. */
  readonly name: string;
  readonly repository: Repository;
  /** What the name stands for there: an index, or the manifest. */
  readonly digest: Digest;
  /** Of the index that the name stands for; undefined: it stands for the manifest itself. */
  readonly indexBytes: Buffer | undefined;
  readonly manifest: Manifest;
  readonly manifestBytes: Buffer;
  /** As the index says it, else as the config does. */
  readonly platform: Platform;
  readonly config: ImageConfig;
  readonly configBytes: Buffer;
}

export interface ResolveOptions {
  readonly platform: Platform;
  /** Whether an image that is there for one platform only must be for this one. */
  readonly isStrict: boolean;
}

export async function resolveImage(
  repository: Repository,
  reference: Reference,
  { platform, isStrict }: ResolveOptions,
): Promise<RemoteImage> {
  const { tag, digest, ...rest } = withDefaultTag(reference);
  // A tag beside a digest is for people to read.
  const wanted = digest ?? (tag as string);
  const name = formatReference(digest === undefined ? { ...rest, tag: wanted } : { ...rest, digest });
  const fetched = withType(await repository.fetchManifest(wanted), name);
  const chosen = await choose(repository, name, fetched, platform);
  const { manifest, bytes, descriptor } = chosen;
  assertRunnable(manifest, name);
  const configBytes = await repository.fetchBlob(manifest.config, MAX_CONFIG_BYTES);
  const config = parseImageConfig(configBytes, `${name}, config`);
  const count = config.rootfs.diff_ids.length;
  if (count !== manifest.layers.length) {
    const what = `${name} has ${manifest.layers.length} layers, its config speaks of ${count}`;
    throw new TbuildError('image/bad-document', what);
  }
  if (isStrict && !matchesPlatform(platform, config)) {
    const what = `${name} is for ${formatPlatform(config)}, not for ${formatPlatform(platform)}`;
    throw new TbuildError('image/no-platform', what);
  }
  return {
    name,
    repository,
    digest: fetched.descriptor.digest,
    indexBytes: descriptor.digest === fetched.descriptor.digest ? undefined : fetched.bytes,
    manifest,
    manifestBytes: bytes,
    platform: descriptor.platform ?? config,
    config,
    configBytes,
  };
}

const KNOWN_TYPES: readonly string[] = [mediaTypes.manifest, mediaTypes.dockerManifest, mediaTypes.index, mediaTypes.dockerIndex];

/**
 * A registry that has no idea of the type leaves it to the document; one that names another than the document does is wrong, for the digest
 * does not cover the name (GHSA-qq97-vm5h-rrhg). Anything else that it names is no image.
 */
function withType({ descriptor, bytes }: FetchedManifest, name: string): FetchedManifest {
  const { mediaType } = descriptor;
  if (KNOWN_TYPES.includes(mediaType)) return { descriptor, bytes };
  return { descriptor: { ...descriptor, mediaType: parseManifest(bytes, `the manifest of ${name}`).mediaType }, bytes };
}

async function choose(repository: Repository, name: string, root: FetchedManifest, platform: Platform): Promise<Chosen> {
  const reader: LayoutReader = {
    label: name,
    read: async (descriptor) => {
      const { bytes } = descriptor.digest === root.descriptor.digest ? root : await fetchBelow(repository, descriptor, name);
      const document = parseManifest(bytes, `the manifest ${descriptor.digest} of ${name}`);
      assertType(document, descriptor, name);
      return { document, bytes };
    },
    has: async () => true,
    // Asked for with all platforms only.
    readBlob: async () => undefined,
  };
  const all: Index = { kind: 'index', mediaType: mediaTypes.index, manifests: [root.descriptor] };
  const [chosen] = await chooseManifests(all, platform, reader);
  if (chosen?.kind === 'manifest') return chosen;
  throw new TbuildError('image/no-platform', `${name} has no image for ${formatPlatform(platform)}: its index is empty`);
}

async function fetchBelow(repository: Repository, descriptor: Descriptor, name: string): Promise<FetchedManifest> {
  if (descriptor.size > MAX_MANIFEST_BYTES) {
    const what = `the manifest ${descriptor.digest} of ${name} has ${descriptor.size} bytes`;
    throw new TbuildError('registry/bad-answer', `${what}, more than the ${MAX_MANIFEST_BYTES} allowed`);
  }
  const fetched = await repository.fetchManifest(descriptor.digest);
  if (fetched.bytes.length === descriptor.size) return fetched;
  const what = `the manifest ${descriptor.digest} of ${name} has ${fetched.bytes.length} bytes`;
  throw new TbuildError('registry/wrong-size', `${what}, its index says ${descriptor.size}`);
}

/** Where the document says no type itself, it has its descriptor's. */
function assertType(document: Manifest | Index, { mediaType, digest }: Descriptor, name: string): void {
  if (document.mediaType === mediaType) return;
  const isOfKind = [mediaTypes.manifest, mediaTypes.index].includes(document.mediaType as never);
  const what = `the manifest ${digest} of ${name} says that it is ${document.mediaType}, and is given as ${mediaType}`;
  if (!isOfKind) throw new TbuildError('image/bad-document', what);
}
