// The manifests and indexes that images go out with, wherever they go: those they came with where nothing else is asked for, so that their digests
// survive, else ours. Nothing is written here.

import { type Digest, sha256 } from '../base/digest.ts';
import type { Blobs } from '../oci/blobs.ts';
import type { Platform } from '../oci/config.ts';
import {
  type Annotations,
  type Descriptor,
  type Dialect,
  encodeImageIndex,
  encodeManifest,
  type Index,
  mediaTypes,
  parseManifest,
} from '../oci/descriptor.ts';
import { platformOf } from '../oci/platform.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { type Attestation, attestedBy, retarget, storedAttestations } from './attestations.ts';
import { isImage } from './choose-manifests.ts';
import type { Image, ImageIndex, PlatformImage } from './image.ts';
import { encodePlainManifest } from './keep-index.ts';
import type { BlobOptions } from './layer-blobs.ts';

/** What is said beside an image, of itself or of the descriptor that names it; undefined platform: the index. */
export type Annotate = (where: 'itself' | 'descriptor', platform: Platform | undefined) => Annotations;

export interface DocumentOptions {
  /** Unset: the OCI's, or as it came. */
  readonly dialect?: Dialect;
  /** Written into manifests and indexes; those that came from outside stay as they are where there are none. */
  readonly annotate?: Annotate;
}

export interface Document {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

/** Whether a manifest that an image came with will do: nothing is asked for that it might not have. */
export function isAsItCame({ dialect, annotate, keepsOthers }: DocumentOptions & Partial<BlobOptions>): boolean {
  return dialect === undefined && annotate === undefined && keepsOthers !== false;
}

export function configDescriptor(image: Image, dialect: Dialect | undefined): Descriptor {
  const mediaType = dialect === 'docker' ? mediaTypes.dockerConfig : mediaTypes.config;
  return { mediaType, digest: image.id, size: Buffer.byteLength(image.configText) };
}

/** Of layers that are made, bottom first. */
export function manifestOf(image: Image, layers: readonly Descriptor[], { dialect, annotate }: DocumentOptions): Document {
  const notes = annotate?.('itself', platformOf(image.config));
  const bytes = encodeManifest(configDescriptor(image, dialect), layers, notes);
  return describe(bytes, dialect === 'docker' ? mediaTypes.dockerManifest : mediaTypes.manifest);
}

/** `manifests`: of its images, in the same order. The document it came with goes out again where its manifests do. */
export async function indexOf(
  place: Workplace,
  blobs: Blobs,
  subject: ImageIndex,
  manifests: readonly Descriptor[],
  { dialect, annotate }: DocumentOptions,
): Promise<Document & { readonly attestations: readonly Attestation[] }> {
  const known = parseManifest(Buffer.from(subject.document), `the index ${subject.id}`) as Index;
  const before = known.manifests.filter(isImage);
  const attestations = await attestationsOf(place, blobs, subject, before, manifests);
  const isSame = !annotate && before.every(({ digest }, position) => digest === manifests[position]?.digest);
  if (isSame) return { ...describe(Buffer.from(subject.document), known.mediaType), attestations };
  const entries = manifests.map((manifest, position) => {
    const { platform } = subject.images[position] as PlatformImage;
    return { ...manifest, platform, ...noted(annotate?.('descriptor', platform)) };
  });
  const all = [...entries, ...attestations.map(({ descriptor }) => descriptor)];
  const bytes = encodeImageIndex(all, annotate?.('itself', undefined));
  const isDocker = dialect === 'docker' && attestations.length === 0;
  return { ...describe(bytes, isDocker ? mediaTypes.dockerIndex : mediaTypes.index), attestations };
}

/**
 * Statements go with the manifest that they are of. Those of a build are of the manifest that nothing had to be written for: they are
 * made to be of the one that goes out now. What others said of theirs is of no other.
 */
async function attestationsOf(
  place: Workplace,
  blobs: Blobs,
  { document, images }: ImageIndex,
  before: readonly Descriptor[],
  manifests: readonly Descriptor[],
): Promise<Attestation[]> {
  const written: Attestation[] = [];
  for (const attestation of await storedAttestations(blobs, document)) {
    const of = attestedBy(attestation.descriptor) as Digest;
    const position = before.findIndex(({ digest }) => digest === of);
    const now = manifests[position]?.digest;
    const isOfPlain = async () => sha256(await encodePlainManifest(place, (images[position] as PlatformImage).image)) === of;
    const same = now === of ? attestation : now && (await isOfPlain()) ? retarget(attestation, of, now) : undefined;
    if (same) written.push(same);
  }
  return written;
}

export function describe(bytes: Buffer, mediaType: string): Document {
  return { descriptor: { mediaType, digest: sha256(bytes), size: bytes.length }, bytes };
}

export function noted(annotations: Annotations | undefined): { annotations?: Annotations } {
  return annotations && Object.keys(annotations).length > 0 ? { annotations } : {};
}
