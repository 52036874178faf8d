// Containers as `ps` lists them: which ones, with what is known of each at this moment. Reads records, states and sizes; changes nothing.

import type { Images } from '../images/store.ts';
import type { Serve } from '../native/serve.ts';
import type { Layers } from '../snapshots/layers.ts';
import { type Connections, connectionsOf } from './connections.ts';
import { type Container, type Containers, isAlive } from './containers.ts';
import { type ContainerFilters, containerTest } from './filter.ts';
import { type ContainerSize, sizeOf } from './size.ts';
import type { ContainerSpec } from './spec.ts';
import { type ContainerState, heldLocks } from './state.ts';

export interface ListedContainer extends Connections {
  readonly container: Container;
  readonly state: ContainerState;
  /** As it was asked for; the ID where that is another image's name by now, or nobody's. */
  readonly imageName: string;
  /** Undefined: nobody asked for it. */
  readonly size: ContainerSize | undefined;
}

export interface ListOptions {
  /** Those that do not run, too. */
  readonly all: boolean;
  /** So many of those created last, whatever they do. */
  readonly last?: number;
  readonly filters: ContainerFilters;
  readonly hasSizes: boolean;
}

interface ListPlace {
  readonly containers: Containers;
  readonly images: Images;
  readonly layers: Layers;
  /** Measures what containers wrote. */
  readonly serve?: Serve;
}

/** Newest first. Throws `container/unknown` where a filter names one that is not here, `usage/bad-value`. */
export async function listContainers(place: ListPlace, options: ListOptions): Promise<ListedContainer[]> {
  const { containers, images } = place;
  const locks = heldLocks();
  const nameOf = imageNames(images);
  const all = containers.list().map((container) => describe(container, container.state(locks), nameOf(container)));
  const isWanted = containerTest(options, {
    find: (nameOrId) => containers.find(nameOrId),
    findImage: (nameOrId) => images.find(nameOrId),
  });
  const chosen = all.filter(isWanted).slice(0, options.last);
  if (!options.hasSizes) return chosen;
  return Promise.all(chosen.map(async (listed) => ({ ...listed, size: await sizeOf(place, listed.container) })));
}

/** One, whatever it does. Throws `container/unknown`, `container/ambiguous`. */
export async function describeContainer(
  place: Omit<ListPlace, 'images'>,
  nameOrId: string,
  { hasSize }: { readonly hasSize: boolean },
): Promise<ListedContainer> {
  const container = place.containers.find(nameOrId);
  const listed = describe(container, container.state(), container.spec.image.name);
  return hasSize ? { ...listed, size: await sizeOf(place, container) } : listed;
}

function describe(container: Container, state: ContainerState, imageName: string): ListedContainer {
  return { container, state, imageName, size: undefined, ...connectionsOf(container, state) };
}

/** As `info` counts them. */
export function countStates(containers: readonly Container[]): { running: number; paused: number; stopped: number } {
  const locks = heldLocks();
  const counts = { running: 0, paused: 0, stopped: 0 };
  for (const container of containers) {
    const { status } = container.state(locks);
    if (status === 'paused') counts.paused++;
    else if (isAlive(status)) counts.running++;
    else counts.stopped++;
  }
  return counts;
}

/** Many containers are of one image. */
function imageNames(images: Images): (container: Container) => string {
  const known = new Map<string, string>();
  return ({ spec: { image, platform } }) => {
    const key = `${image.id} ${image.name}`;
    const name = known.get(key) ?? (isNameOf(images, image, platform) ? image.name : image.id);
    known.set(key, name);
    return name;
  };
}

function isNameOf(images: Images, { name, id }: ContainerSpec['image'], platform: ContainerSpec['platform']): boolean {
  try {
    return images.resolve(name, platform).id === id;
  } catch {
    return false;
  }
}
