// Where a container's files are: in its own mounts while it runs, else on a root made of its layers and of what it wrote, with its volumes and directories.

import { existsSync, lstatSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Digest } from '../../base/digest.ts';
import { TbuildError } from '../../base/errors.ts';
import type { FilesPlace } from '../../native/files.ts';
import type { RootSpec } from '../../native/with-root.ts';
import { containerConfig, type Mount } from '../../sandbox/container-config.ts';
import type { Layer, PresentLayer } from '../../snapshots/layers.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import { type Container, Containers, isAlive } from '../containers.ts';
import type { ContainerMount } from '../spec.ts';
import { sourceOf } from '../volumes/volume.ts';
import { Volumes } from '../volumes/volumes.ts';

export const upperOf = ({ directory }: Container): string => join(directory, 'upper');

/** `act` may read what is there. `withMounts`: volumes and directories of the host, too. */
export async function readContainer<T>(
  workplace: Workplace,
  container: Container,
  withMounts: boolean,
  act: (place: FilesPlace) => Promise<T>,
): Promise<T> {
  const { status, pid } = container.state();
  if (isAlive(status) && pid > 0) return act({ kind: 'process', pid });
  const layers = await lowersOf(workplace, container);
  // As one more lower it is only looked at: who starts the container meanwhile has it alone.
  const upper = upperOf(container);
  const all = existsSync(upper) ? [...layers, { directory: upper }] : layers;
  return act({ kind: 'root', spec: rootOf(workplace, all, null, withMounts ? mountsOf(workplace, container) : []) });
}

/** `act` may write. A container that does not run cannot be started meanwhile. Throws `container/busy`. */
export async function changeContainer<T>(
  workplace: Workplace,
  container: Container,
  act: (place: FilesPlace) => Promise<T>,
): Promise<T> {
  const { status, pid } = container.state();
  if (isAlive(status) && pid > 0) return act({ kind: 'process', pid });
  await new Containers(workplace).settle(container);
  if (container.spec.readonlyRoot) throw new TbuildError('container/read-only', 'container rootfs is marked read-only');
  const { lock } = await workplace.serve.call('lock', { path: join(container.directory, 'lock'), wait: false });
  if (lock === null) throw new TbuildError('container/busy', `the container ${container.name} is being started`);
  try {
    const layers = await lowersOf(workplace, container);
    const upper = { directory: upperOf(container), work: join(container.directory, 'work') };
    for (const path of Object.values(upper)) mkdirSync(path, { recursive: true });
    return await act({ kind: 'root', spec: rootOf(workplace, layers, upper, mountsOf(workplace, container)) });
  } finally {
    await workplace.serve.call('unlock', { lock });
  }
}

export function layersOf({ layers }: Pick<Workplace, 'layers'>, { spec }: Container): Layer[] {
  return spec.layers.map((id) => {
    const layer = layers.get(id as Digest);
    if (layer) return layer;
    throw new TbuildError('store/layer-gone', `the layer ${id} is not in the store`, { hint: 'build or pull its image again' });
  });
}

async function lowersOf(workplace: Workplace, container: Container) {
  const present: PresentLayer[] = await workplace.layers.presentAll(layersOf(workplace, container));
  return present.map((layer) => workplace.layers.lower(layer));
}

/** Nobody runs in it: owners are those on disk, which are the container's, and of the configuration only bind mounts count. */
function rootOf(workplace: Workplace, layers: RootSpec['layers'], upper: RootSpec['upper'], mounts: readonly Bind[]): RootSpec {
  return {
    scratch: workplace.store.path('mnt'),
    layers,
    stub: mounts.map(({ destination, type }) => ({ path: destination.replace(/^\/+|\/+$/g, ''), type })),
    upper,
    files: [],
    mounts: [],
    config: containerConfig({
      args: ['/'],
      env: [],
      cwd: '/',
      user: { uid: 0, gid: 0, additionalGids: [], home: undefined },
      hostname: 'files',
      network: 'none',
      userns: 'host',
      terminal: false,
      readonlyRoot: false,
      mounts: mounts.map(({ mount }) => mount),
    }),
    commit: null,
  };
}

interface Bind {
  readonly destination: string;
  readonly type: 'dir' | 'file';
  readonly mount: Mount;
}

/** Those whose source is there. */
function mountsOf(workplace: Workplace, { spec }: Container): Bind[] {
  return spec.mounts.flatMap((mount): Bind[] => {
    const source = directoryOf(workplace, mount);
    const found = source === undefined ? undefined : statSync(source.path, { throwIfNoEntry: false });
    if (!source || !found) return [];
    const options = ['rbind', 'rprivate', 'nodev', source.readonly ? 'rro' : 'rw'];
    const bind = { destination: mount.target, type: 'bind', source: source.path, options };
    return [{ destination: mount.target, type: found.isDirectory() ? 'dir' : 'file', mount: bind }];
  });
}

function directoryOf(workplace: Workplace, mount: ContainerMount): { path: string; readonly: boolean } | undefined {
  if (mount.type === 'bind') return { path: mount.source, readonly: mount.readonly };
  if (mount.type !== 'volume' || !existsSync(workplace.store.path('volumes', mount.name))) return undefined;
  const source = sourceOf(new Volumes(workplace).find(mount.name));
  if (source.kind === 'tmpfs') return undefined;
  const path = mount.subpath === undefined ? source.path : join(source.path, mount.subpath);
  // Its own files may have put a link there since it ran.
  if (mount.subpath !== undefined && lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) return undefined;
  return { path, readonly: mount.readonly || source.readonly };
}
