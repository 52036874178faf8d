// Which images of a layout are meant: every one of its index, and of one that is there for several platforms the best for the wanted one.

import { TbuildError } from '../base/errors.ts';
import type { Platform } from '../oci/config.ts';
import { annotations, type Descriptor, type Index, type Manifest, mediaTypes } from '../oci/descriptor.ts';
import { formatPlatform, rankPlatform } from '../oci/platform.ts';
import { formatReference, parseReference, withDefaultTag } from '../oci/reference.ts';
import { badArchive } from './archive-files.ts';

/** A manifest and the names its index gives it. */
export interface Chosen {
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly bytes: Buffer;
  readonly names: readonly string[];
}

/** Reads a manifest or an index, checked against its descriptor. */
export type ReadDocument = (descriptor: Descriptor) => Promise<{ readonly document: Manifest | Index; readonly bytes: Buffer }>;

const MAX_DEPTH = 4;
const INDEX_TYPES: readonly string[] = [mediaTypes.index, mediaTypes.dockerIndex];

export async function chooseManifests(index: Index, platform: Platform, read: ReadDocument, label: string): Promise<Chosen[]> {
  const byName = Map.groupBy(index.manifests.filter(isImage), nameOf);
  const chosen = new Map<string, Chosen>();
  for (const [name, descriptors] of byName) {
    for (const descriptor of chooseAlternatives(descriptors, platform, label)) {
      const found = await descend(descriptor, platform, read, label, MAX_DEPTH);
      if (!found) continue;
      const names = [...(chosen.get(found.descriptor.digest)?.names ?? []), ...(name === undefined ? [] : [name])];
      chosen.set(found.descriptor.digest, { ...found, names: [...new Set(names)] });
    }
  }
  return [...chosen.values()];
}

/** BuildKit's attestations stand among the platforms of an index. */
function isImage(descriptor: Descriptor): boolean {
  return descriptor.annotations?.[annotations.referenceType] === undefined && descriptor.platform?.os !== 'unknown';
}

/** The name in full; undefined where only a tag is given, as BuildKit's and umoci's layouts without a name do. */
function nameOf(descriptor: Descriptor): string | undefined {
  const full = descriptor.annotations?.[annotations.imageName];
  const short = descriptor.annotations?.[annotations.refName];
  const text = full ?? (short && /[/:]/.test(short) ? short : undefined);
  if (text === undefined) return undefined;
  try {
    const { digest, ...reference } = parseReference(text);
    return digest === undefined || reference.tag !== undefined ? formatReference(withDefaultTag(reference)) : undefined;
  } catch {
    return undefined; // A layout may call its images what it likes.
  }
}

/** Entries of the same name that say their platforms are alternatives; those that do not are images each. */
function chooseAlternatives(descriptors: readonly Descriptor[], platform: Platform, label: string): Descriptor[] {
  const saying = descriptors.filter((descriptor) => descriptor.platform?.os);
  const silent = descriptors.filter((descriptor) => !descriptor.platform?.os);
  if (saying.length < 2) return [...silent, ...saying];
  const ranks = saying.map((descriptor) => rankPlatform(platform, descriptor.platform as Platform));
  const best = Math.min(...ranks.filter((rank) => rank !== undefined));
  const fitting = saying.filter((_, position) => ranks[position] === best);
  if (fitting.length === 0 && silent.length === 0) throw noPlatform(label, platform, saying);
  return [...silent, ...fitting];
}

async function descend(
  descriptor: Descriptor,
  platform: Platform,
  read: ReadDocument,
  label: string,
  depth: number,
): Promise<Omit<Chosen, 'names'> | undefined> {
  if (depth === 0) throw badArchive(label, `its indexes are nested more than ${MAX_DEPTH} deep`);
  const { document, bytes } = await read(descriptor);
  // The digest covers the bytes, not the type under which they are read.
  if ((document.kind === 'index') !== INDEX_TYPES.includes(descriptor.mediaType))
    throw badArchive(label, `${descriptor.digest} is not of the media type ${descriptor.mediaType}`);
  if (document.kind === 'manifest') return { descriptor, manifest: document, bytes };
  const images = document.manifests.filter(isImage);
  const next = chooseBest(images, platform, label);
  return next && descend(next, platform, read, label, depth - 1);
}

/** All entries of a nested index are one image: the best of those that say their platform, else the first that does not. */
function chooseBest(descriptors: readonly Descriptor[], platform: Platform, label: string): Descriptor | undefined {
  let best: Descriptor | undefined;
  let bestRank = Number.POSITIVE_INFINITY;
  for (const descriptor of descriptors) {
    const rank = descriptor.platform?.os ? rankPlatform(platform, descriptor.platform) : Number.MAX_SAFE_INTEGER;
    if (rank === undefined || rank >= bestRank) continue;
    best = descriptor;
    bestRank = rank;
  }
  if (!best && descriptors.length > 0) throw noPlatform(label, platform, descriptors);
  return best;
}

function noPlatform(label: string, wanted: Platform, offered: readonly Descriptor[]): TbuildError {
  const platforms = offered.flatMap(({ platform }) => (platform ? [formatPlatform(platform)] : [])).slice(0, 20);
  return new TbuildError(
    'image/no-platform',
    `${label} has no image for ${formatPlatform(wanted)}: it has ${platforms.join(', ')}`,
    {
      hint: 'choose one of these with --platform',
    },
  );
}
