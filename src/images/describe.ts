// What `inspect` and `history` say of an image, in docker's shapes (api/types/image: InspectResponse, HistoryResponseItem). Data only.

import type { Digest } from '../base/digest.ts';
import type { Platform } from '../oci/config.ts';
import { familiarName, familiarRepository, isPinned, parseReference } from '../oci/reference.ts';
import type { Layers } from '../snapshots/layers.ts';
import type { Image, ImageIndex } from './image.ts';

export interface ImageInspection {
  readonly Id: Digest;
  readonly RepoTags: readonly string[];
  readonly RepoDigests: readonly string[];
  readonly Parent: '';
  readonly Comment: string;
  readonly Created: string;
  readonly DockerVersion: '';
  readonly Author: string;
  /** As the image has it, members that others wrote included. */
  readonly Config: unknown;
  readonly Architecture: string;
  readonly Variant?: string;
  readonly Os: string;
  readonly Size: number;
  readonly RootFS: { readonly Type: 'layers'; readonly Layers: readonly string[] };
  readonly Metadata: { readonly LastTagTime: string };
  /** Of what is there for several platforms: all of its images. */
  readonly Manifests?: readonly { readonly ID: Digest; readonly Platform: Platform }[];
}

/** `index`: what the image was found in, for whose names and ID it stands. */
export function inspectImage(image: Image, index?: ImageIndex): ImageInspection {
  const { config } = image;
  const { id, names, tagged } = index ?? image;
  return {
    Id: id,
    RepoTags: names.filter((name) => !isPinned(name)).map(familiarName),
    RepoDigests: repoDigests(names, index ? indexDigest(index) : image.manifest),
    Parent: '',
    Comment: config.history?.at(-1)?.comment ?? '',
    Created: config.created ?? '',
    DockerVersion: '',
    Author: config.author ?? '',
    Config: (JSON.parse(image.configText) as { config?: unknown }).config ?? {},
    Architecture: config.architecture,
    ...(config.variant === undefined ? {} : { Variant: config.variant }),
    Os: config.os,
    Size: image.sizeBytes,
    RootFS: { Type: 'layers', Layers: config.rootfs.diff_ids },
    Metadata: { LastTagTime: new Date(tagged ?? 0).toISOString() },
    ...(index && { Manifests: index.images.map((each) => ({ ID: each.image.id, Platform: each.platform })) }),
  };
}

/** What others know an index by: nobody does until its images have manifests, which ours have only once they are saved. */
export function indexDigest({ id, images }: ImageIndex): Digest | undefined {
  return images.every(({ image }) => image.manifest !== undefined) ? id : undefined;
}

/** For each repository it has a name in: what its registry knows it by, else its manifest's. */
function repoDigests(names: readonly string[], manifest: Digest | undefined): string[] {
  const byRepository = Map.groupBy(names.map(parseReference), familiarRepository);
  return [...byRepository].flatMap(([repository, references]) => {
    const known = references.flatMap(({ digest }) => digest ?? []);
    const digests = known.length > 0 || manifest === undefined ? known : [manifest];
    return digests.map((digest) => `${repository}@${digest}`);
  });
}

export interface HistoryRow {
  /** The image's for the newest row; undefined: docker's `<missing>`. */
  readonly id: Digest | undefined;
  readonly created: string | undefined;
  readonly createdBy: string;
  readonly sizeBytes: number;
  readonly comment: string;
}

/** Newest first. Layers that no history entry speaks of have rows of their own, below all others. */
export function imageHistory(image: Image, layers: Layers): HistoryRow[] {
  const sizes = image.layers.map((id) => layers.get(id)?.bytes ?? 0);
  const history = image.config.history ?? [];
  const told = history.filter((entry) => !entry.empty_layer).length;
  const untold = sizes.splice(0, Math.max(0, sizes.length - told));
  const rows = [
    ...untold.map((sizeBytes) => ({ created: undefined, createdBy: '', sizeBytes, comment: '' })),
    ...history.map((entry) => ({
      created: entry.created,
      createdBy: entry.created_by ?? '',
      sizeBytes: entry.empty_layer ? 0 : (sizes.shift() ?? 0),
      comment: entry.comment ?? '',
    })),
  ].reverse();
  return rows.map((row, position) => ({ id: position === 0 ? image.id : undefined, ...row }));
}
