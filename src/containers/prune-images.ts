// Images that no container is of go: those without a name or, with `all`, every one. Layers that builds have results in stay, for they are the cache's.

import { TbuildError } from '../base/errors.ts';
import type { Image, ImageIndex } from '../images/image.ts';
import type { Images, Removal } from '../images/store.ts';
import type { Layers } from '../snapshots/layers.ts';
import type { Containers } from './containers.ts';

export interface PrunedImages {
  readonly removals: readonly Removal[];
  readonly sizeBytes: number;
}

export interface PruneImagesOptions {
  readonly all: boolean;
  readonly isMeant: (image: { readonly created: number; readonly labels: Readonly<Record<string, string>> }) => boolean;
}

interface PrunePlace {
  readonly images: Images;
  readonly layers: Layers;
  readonly containers: Containers;
}

export function pruneImages({ images, layers, containers }: PrunePlace, { all, isMeant }: PruneImagesOptions): PrunedImages {
  const used = new Set(containers.list().map(({ spec }) => spec.image.id));
  const before = bytesOf(layers);
  const going = images
    .listTops()
    .filter((top) => (all || top.names.length === 0) && !membersOf(top).some(({ id }) => used.has(id)))
    .filter((top) => isMeant(factsOf(top)));
  const removals = going.flatMap(({ id }) => removeOne(images, id));
  return { removals, sizeBytes: Math.max(0, before - bytesOf(layers)) };
}

export const membersOf = (top: Image | ImageIndex): readonly Image[] =>
  'config' in top ? [top] : top.images.map(({ image }) => image);

function factsOf(top: Image | ImageIndex): { created: number; labels: Readonly<Record<string, string>> } {
  const members = membersOf(top);
  const created = Math.max(...members.map(({ config }) => Date.parse(config.created ?? '') || 0));
  return { created, labels: members[0]?.config.config?.Labels ?? {} };
}

/** Somebody may have begun to use it, or removed it, in this moment. */
function removeOne(images: Images, id: string): Removal[] {
  try {
    return images.remove(id, { force: true });
  } catch (error) {
    if (error instanceof TbuildError && error.code.startsWith('image/')) return [];
    throw error;
  }
}

const bytesOf = (layers: Layers): number => layers.all().reduce((sum, { bytes }) => sum + bytes, 0);
