// Manifests and indexes (image-spec manifest.md, image-index.md; docker's schema 2 forms of both): what they say, narrowed from untrusted
// bytes, and how ours are written. Digests of the bytes are checked by whoever read them.

import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { Platform } from './config.ts';
import {
  asDigest,
  asInteger,
  asList,
  asMembers,
  asRecord,
  asSize,
  asString,
  badDocument,
  type Members,
  optional,
  parseJson,
  present,
} from './document.ts';

export const mediaTypes = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  layerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  layerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerLayerZstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
  dockerForeignGzip: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
} as const;

export const annotations = {
  /** A tag, or a whole name: writers differ. */
  refName: 'org.opencontainers.image.ref.name',
  /** The whole name, normalised. */
  imageName: 'io.containerd.image.name',
  /** `attestation-manifest`: BuildKit's provenance and SBOMs, no image. */
  referenceType: 'vnd.docker.reference.type',
  /** The manifest that these are of. */
  referenceDigest: 'vnd.docker.reference.digest',
  /** On a statement: what it says. */
  predicateType: 'in-toto.io/predicate-type',
} as const;

/** Beyond these a document is refused unread. Registries cap manifests at 4 MiB. */
export const MAX_MANIFEST_BYTES = 4 << 20;
export const MAX_CONFIG_BYTES = 8 << 20;

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: Platform;
  readonly artifactType?: string;
}

export interface Manifest {
  readonly kind: 'manifest';
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

export interface Index {
  readonly kind: 'index';
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
}

/** `name` is what messages call the document. Throws `image/bad-document`, `unsupported/manifest`. */
export function parseManifest(bytes: Uint8Array, name: string): Manifest | Index {
  const members = asMembers(parseJson(bytes, name), name);
  const version = asInteger(members.get('schemaVersion'), `${name}, schemaVersion`);
  if (version !== 2) {
    throw new TbuildError('unsupported/manifest', `${name} has the schema version ${version}: only 2 is supported`, {
      hint: 'push the image again with a tool of this decade',
    });
  }
  // A document that is both could be read as one by one tool and as the other by the next (GHSA-qq97-vm5h-rrhg).
  const isIndex = members.has('manifests');
  if (isIndex && (members.has('layers') || members.has('config'))) throw badDocument(name, 'is both a manifest and an index');
  const mediaType = optional(members, 'mediaType', name, asString) ?? (isIndex ? mediaTypes.index : mediaTypes.manifest);
  const allowed: readonly string[] = isIndex
    ? [mediaTypes.index, mediaTypes.dockerIndex]
    : [mediaTypes.manifest, mediaTypes.dockerManifest];
  if (!allowed.includes(mediaType)) throw badDocument(name, `has the media type ${JSON.stringify(mediaType)}`);
  if (isIndex)
    return { kind: 'index', mediaType, manifests: asList(members.get('manifests'), `${name}, manifests`, asDescriptor) };
  return {
    kind: 'manifest',
    mediaType,
    config: asDescriptor(members.get('config'), `${name}, config`),
    layers: asList(members.get('layers'), `${name}, layers`, asDescriptor),
  };
}

export function asDescriptor(value: unknown, where: string): Descriptor {
  const members = asMembers(value, where);
  return {
    mediaType: asString(members.get('mediaType'), `${where}, mediaType`),
    digest: asDigest(members.get('digest'), `${where}, digest`),
    size: asSize(members.get('size'), `${where}, size`),
    ...present({
      annotations: optional(members, 'annotations', where, (map, place) => asRecord(map, place, asString)),
      platform: optional(members, 'platform', where, asPlatform),
      artifactType: optional(members, 'artifactType', where, asString),
    }),
  };
}

function asPlatform(value: unknown, where: string): Platform {
  return platformMembers(asMembers(value, where), where);
}

export function platformMembers(members: Members, where: string): Platform {
  return {
    architecture: optional(members, 'architecture', where, asString) ?? '',
    os: optional(members, 'os', where, asString) ?? '',
    ...present({
      // An empty variant is no variant: Go's encoders before omitempty wrote it.
      variant: optional(members, 'variant', where, asString) || undefined,
      'os.version': optional(members, 'os.version', where, asString) || undefined,
    }),
  };
}

const CONFIG_TYPES: readonly string[] = [mediaTypes.config, mediaTypes.dockerConfig];
/** Not to be pushed to just any registry; deprecated. Their descriptors may name URLs, of which no use is made (CVE-2020-15157). */
const NOT_DISTRIBUTABLE = ['', '+gzip', '+zstd'].map((end) => `application/vnd.oci.image.layer.nondistributable.v1.tar${end}`);
const FOREIGN_TYPES: readonly string[] = [mediaTypes.dockerForeignGzip, ...NOT_DISTRIBUTABLE];

export const isForeign = ({ mediaType }: Descriptor): boolean => FOREIGN_TYPES.includes(mediaType);

const LAYER_TYPES: readonly string[] = [
  ...FOREIGN_TYPES,
  mediaTypes.layer,
  mediaTypes.layerGzip,
  mediaTypes.layerZstd,
  mediaTypes.dockerLayer,
  mediaTypes.dockerLayerGzip,
  mediaTypes.dockerLayerZstd,
];

/** Throws unless the manifest is of a container image whose layers we can read: artifacts, encrypted and foreign layers are not. */
export function assertRunnable(manifest: Manifest, name: string): void {
  if (!CONFIG_TYPES.includes(manifest.config.mediaType)) {
    throw new TbuildError(
      'image/not-an-image',
      `${name} is not a container image: its config has the type ${manifest.config.mediaType}`,
    );
  }
  for (const layer of manifest.layers) {
    if (!LAYER_TYPES.includes(layer.mediaType))
      throw new TbuildError('unsupported/layer', `${name} has a layer of the type ${layer.mediaType}, which cannot be unpacked`);
  }
}

export type Compression = 'none' | 'gzip' | 'zstd';

/** Whose words a manifest uses. */
export type Dialect = 'oci' | 'docker';

export function layerMediaType(compression: Compression, dialect: Dialect = 'oci'): string {
  const { layer, layerGzip, layerZstd, dockerLayer, dockerLayerGzip, dockerLayerZstd } = mediaTypes;
  return dialect === 'oci'
    ? { none: layer, gzip: layerGzip, zstd: layerZstd }[compression]
    : { none: dockerLayer, gzip: dockerLayerGzip, zstd: dockerLayerZstd }[compression];
}

/** Of a layer's blob; undefined: its media type does not say. */
export function compressionOf({ mediaType }: Descriptor): Compression | undefined {
  const { layer, layerGzip, layerZstd, dockerLayer, dockerLayerGzip, dockerLayerZstd } = mediaTypes;
  if (mediaType === layerGzip || mediaType === dockerLayerGzip) return 'gzip';
  if (mediaType === layerZstd || mediaType === dockerLayerZstd) return 'zstd';
  return mediaType === layer || mediaType === dockerLayer ? 'none' : undefined;
}

export type Annotations = Readonly<Record<string, string>>;

/**
 * A manifest of ours, in the bytes BuildKit writes (Go's MarshalIndent of ocispec.Manifest). Whoever saves or pushes an image uses this, so the digests agree.
 * It speaks as its config does.
 */
export function encodeManifest(config: Descriptor, layers: readonly Descriptor[], annotations: Annotations = {}): Buffer {
  const plain = ({ mediaType, digest, size }: Descriptor) => ({ mediaType, digest, size });
  return Buffer.from(
    JSON.stringify(
      {
        schemaVersion: 2,
        mediaType: config.mediaType === mediaTypes.dockerConfig ? mediaTypes.dockerManifest : mediaTypes.manifest,
        config: plain(config),
        layers: layers.map(plain),
        annotations: sortedAnnotations(annotations),
      },
      null,
      2,
    ),
  );
}

/** Go sorts a map's keys, and leaves out one that is empty. */
function sortedAnnotations(annotations: Annotations): Annotations | undefined {
  const entries = Object.entries(annotations).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

/** An index of ours for the platforms of an image, in the bytes BuildKit writes. Each descriptor says its platform. It speaks as they do. */
export function encodeImageIndex(manifests: readonly Descriptor[], annotations: Annotations = {}): Buffer {
  const entries = manifests.map(({ mediaType, digest, size, platform, annotations: notes = {} }) => ({
    mediaType,
    digest,
    size,
    annotations: sortedAnnotations(notes),
    platform: platform && goPlatform(platform),
  }));
  const isDocker = manifests.length > 0 && manifests.every(({ mediaType }) => mediaType === mediaTypes.dockerManifest);
  const mediaType = isDocker ? mediaTypes.dockerIndex : mediaTypes.index;
  const document = { schemaVersion: 2, mediaType, manifests: entries, annotations: sortedAnnotations(annotations) };
  return Buffer.from(JSON.stringify(document, null, 2));
}

/** In the order of Go's ocispec.Platform. */
function goPlatform({ architecture, os, variant, ...rest }: Platform): Platform {
  return { architecture, os, ...rest, ...(variant === undefined ? {} : { variant }) };
}
