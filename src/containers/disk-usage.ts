// What takes room in a store, for `system df`: images, containers, volumes and the build cache, and how much of each could go. Changes nothing.

import type { Image, ImageIndex } from '../images/image.ts';
import type { Images } from '../images/store.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { listUsage, type UsageItem } from '../upkeep/usage.ts';
import type { Containers } from './containers.ts';
import { type ListedContainer, listContainers } from './listing.ts';
import { membersOf } from './prune-images.ts';
import type { Volume } from './volumes/volume.ts';
import { Volumes } from './volumes/volumes.ts';

export interface DiskUsage {
  readonly images: readonly ImageUsage[];
  /** Of all images together: layers that several have count once. */
  readonly imagesBytes: number;
  readonly containers: readonly ListedContainer[];
  readonly volumes: readonly VolumeUsage[];
  readonly cache: readonly UsageItem[];
}

export interface ImageUsage {
  readonly image: Image | ImageIndex;
  readonly sizeBytes: number;
  /** Of the layers that other images have, too. */
  readonly sharedBytes: number;
  readonly containers: number;
}

export interface VolumeUsage {
  readonly volume: Volume;
  readonly sizeBytes: number;
  /** How many containers have it. */
  readonly links: number;
}

export async function diskUsage(place: Workplace, images: Images, containers: Containers): Promise<DiskUsage> {
  const listed = await listContainers({ ...place, images, containers }, { all: true, filters: new Map(), hasSizes: true });
  const tops = images.listTops();
  const layersOf = (top: Image | ImageIndex) => new Set(membersOf(top).flatMap(({ layers }) => layers));
  const bytes = new Map(place.layers.all().map((layer) => [layer.id, layer.bytes]));
  const owners = new Map<string, number>();
  for (const top of tops) for (const layer of layersOf(top)) owners.set(layer, (owners.get(layer) ?? 0) + 1);
  const sum = (layers: Iterable<string>) => [...layers].reduce((all, layer) => all + (bytes.get(layer as never) ?? 0), 0);
  return {
    images: tops.map((image) => {
      const layers = [...layersOf(image)];
      const ids = new Set(membersOf(image).map(({ id }) => id as string));
      return {
        image,
        sizeBytes: sum(layers),
        sharedBytes: sum(layers.filter((layer) => (owners.get(layer) ?? 0) > 1)),
        containers: listed.filter(({ container }) => ids.has(container.spec.image.id)).length,
      };
    }),
    imagesBytes: sum(owners.keys()),
    containers: listed,
    volumes: await volumeUsage(place),
    cache: (await listUsage(place)).filter(({ type }) => type !== 'image'),
  };
}

async function volumeUsage(place: Workplace): Promise<VolumeUsage[]> {
  const volumes = new Volumes(place);
  return Promise.all(
    volumes.list().map(async (volume) => {
      const { bytes } = await place.serve.call('measure', { path: volume.directory });
      return { volume, sizeBytes: bytes, links: volumes.usersOf(volume.name).length };
    }),
  );
}
