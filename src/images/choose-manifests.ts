// Which images of a layout are meant: every one of its index. Of one that is there for several platforms all that are in the layout with their
// layers, or where a platform is asked for the best for that.

import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { Platform } from '../oci/config.ts';
import { annotations, type Descriptor, type Index, type Manifest, mediaTypes } from '../oci/descriptor.ts';
import { formatPlatform, hostPlatform, normalizePlatform, rankPlatform } from '../oci/platform.ts';
import { formatReference, parseReference, withDefaultTag } from '../oci/reference.ts';
import { badArchive } from './archive-files.ts';
import { type Attestation, attestedBy, readAttestations } from './attestations.ts';

/** A manifest and the names its index gives it. */
export interface Chosen {
  readonly kind: 'manifest';
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly bytes: Buffer;
  readonly names: readonly string[];
}

/** Manifests for several platforms, or one beside which something is said of it, and the names they have together. */
export interface ChosenIndex {
  readonly kind: 'index';
  /** The index they come from, when it has nothing else in it. */
  readonly bytes: Buffer | undefined;
  readonly attestations: readonly Attestation[];
  readonly platforms: readonly { readonly platform: Platform; readonly chosen: Chosen }[];
  readonly names: readonly string[];
}

/** What choosing reads of a layout. */
export interface LayoutReader {
  /** What messages call it. */
  readonly label: string;
  /** A manifest or an index, checked against its descriptor. */
  read(descriptor: Descriptor): Promise<{ readonly document: Manifest | Index; readonly bytes: Buffer }>;
  has(descriptor: Descriptor): Promise<boolean>;
  /** Checked against its descriptor; undefined: it is not there, or larger than `limitBytes`. */
  readBlob(descriptor: Descriptor, limitBytes: number): Promise<Buffer | undefined>;
}

const MAX_DEPTH = 4;
const INDEX_TYPES: readonly string[] = [mediaTypes.index, mediaTypes.dockerIndex];

/** `platform` undefined: all of them. */
export async function chooseManifests(
  index: Index,
  platform: Platform | undefined,
  layout: LayoutReader,
): Promise<(Chosen | ChosenIndex)[]> {
  const byName = Map.groupBy(index.manifests.filter(isImage), nameOf);
  const chosen: (Chosen | ChosenIndex)[] = [];
  for (const [name, descriptors] of byName) {
    for (const found of await chooseAlternatives(descriptors, platform, layout)) {
      const key = keyOf(found);
      const known = chosen.findIndex((other) => keyOf(other) === key);
      const names = [...(chosen[known]?.names ?? []), ...(name === undefined ? [] : [name])];
      chosen.splice(known < 0 ? chosen.length : known, 1, { ...found, names: [...new Set(names)] });
    }
  }
  return chosen;
}

/** The same under two names is one. */
function keyOf(chosen: Chosen | ChosenIndex): string {
  if (chosen.kind === 'manifest') return chosen.descriptor.digest;
  return chosen.platforms
    .map(({ platform, chosen: { descriptor } }) => `${formatPlatform(platform)} ${descriptor.digest}`)
    .join();
}

/** BuildKit's attestations stand among the platforms of an index. */
export function isImage(descriptor: Descriptor): boolean {
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

/** Entries of the same name that say different platforms are alternatives; others are images each. */
async function chooseAlternatives(
  descriptors: readonly Descriptor[],
  platform: Platform | undefined,
  layout: LayoutReader,
): Promise<(Chosen | ChosenIndex)[]> {
  const saying = descriptors.filter((descriptor) => descriptor.platform?.os);
  const silent = descriptors.filter((descriptor) => !descriptor.platform?.os);
  const areAlternatives = new Set(saying.map(platformKey)).size === saying.length && saying.length > 1;
  const together = areAlternatives && !platform ? await allOf(saying, undefined, layout, MAX_DEPTH) : undefined;
  const single = together
    ? silent
    : [...silent, ...(saying.length < 2 ? saying : chooseFitting(saying, platform, layout, silent))];
  const found: (Chosen | ChosenIndex)[] = together ? [together] : [];
  for (const descriptor of single) {
    const each = await descend(descriptor, platform, layout, MAX_DEPTH);
    if (each) found.push(each);
  }
  return found;
}

const platformKey = ({ platform }: Descriptor): string => formatPlatform(normalizePlatform(platform as Platform));

function chooseFitting(
  saying: readonly Descriptor[],
  platform: Platform | undefined,
  { label }: LayoutReader,
  silent: readonly Descriptor[],
): Descriptor[] {
  if (!platform) return [...saying];
  const ranks = saying.map((descriptor) => rankPlatform(platform, descriptor.platform as Platform));
  const best = Math.min(...ranks.filter((rank) => rank !== undefined));
  const fitting = saying.filter((_, position) => ranks[position] === best);
  if (fitting.length === 0 && silent.length === 0) throw noPlatform(label, platform, saying);
  return fitting;
}

async function descend(
  descriptor: Descriptor,
  platform: Platform | undefined,
  layout: LayoutReader,
  depth: number,
): Promise<Chosen | ChosenIndex | undefined> {
  if (depth === 0) throw badArchive(layout.label, `its indexes are nested more than ${MAX_DEPTH} deep`);
  const { document, bytes } = await layout.read(descriptor);
  // The digest covers the bytes, not the type under which they are read.
  if ((document.kind === 'index') !== INDEX_TYPES.includes(descriptor.mediaType))
    throw badArchive(layout.label, `${descriptor.digest} is not of the media type ${descriptor.mediaType}`);
  if (document.kind === 'manifest') return { kind: 'manifest', descriptor, manifest: document, bytes, names: [] };
  const images = document.manifests.filter(isImage);
  if (!platform) {
    const together = await allOf(document.manifests, bytes, layout, depth - 1);
    if (together) return together;
  }
  const next = chooseBest(images, platform ?? hostPlatform(), layout.label);
  return next && descend(next, platform, layout, depth - 1);
}

/** Those of an index's images that are in the layout, layers and all; undefined where this leaves one alone, of which nothing is said, or none. */
async function allOf(
  descriptors: readonly Descriptor[],
  original: Buffer | undefined,
  layout: LayoutReader,
  depth: number,
): Promise<ChosenIndex | undefined> {
  const platforms = new Map<string, ChosenIndex['platforms'][number]>();
  for (const descriptor of descriptors.filter(isImage)) {
    if (!descriptor.platform?.os || platforms.has(platformKey(descriptor)) || !(await layout.has(descriptor))) continue;
    const chosen = await descend(descriptor, undefined, layout, depth);
    if (chosen?.kind !== 'manifest' || !(await isComplete(chosen.manifest, layout))) continue;
    platforms.set(platformKey(descriptor), { platform: descriptor.platform, chosen });
  }
  const there = new Set([...platforms.values()].map(({ chosen }) => chosen.descriptor.digest));
  const speaking = descriptors.filter((descriptor) => there.has(attestedBy(descriptor) as Digest));
  const attestations = await readAttestations({ manifests: speaking }, (descriptor, limit) => layout.readBlob(descriptor, limit));
  if (platforms.size < (attestations.length > 0 ? 1 : 2)) return undefined;
  const bytes = platforms.size + attestations.length === descriptors.length ? original : undefined;
  return { kind: 'index', bytes, platforms: [...platforms.values()], attestations, names: [] };
}

async function isComplete({ config, layers }: Manifest, layout: LayoutReader): Promise<boolean> {
  const found = await Promise.all([config, ...layers].map((descriptor) => layout.has(descriptor)));
  return found.every(Boolean);
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
