// What a container mounts for a volume. One without options that is empty gets what the image has at the place, once: copied whole beside it from the layers,
// with owners, modes, links and attributes, and put in its place by a rename. A kill leaves it empty, or whole at its next use.

import { existsSync, lstatSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Digest } from '../../base/digest.ts';
import { TbuildError } from '../../base/errors.ts';
import type { LayerStack } from '../../native/serve.ts';
import type { Layer } from '../../snapshots/layers.ts';
import { mergedTree, resolvePath } from '../../snapshots/tree.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import type { ContainerMount, ContainerSpec } from '../spec.ts';
import { ANONYMOUS, sourceOf, type Volume, type VolumeSource } from './volume.ts';
import { lockPath, Volumes } from './volumes.ts';

type VolumeMount = Extract<ContainerMount, { readonly type: 'volume' }>;

/** Of a container, whether its record is there already or not. A volume that is not there is made. Throws `volume/…`, `store/layer-gone`. */
export async function mountVolume(
  place: Workplace,
  mount: VolumeMount,
  container: { readonly id: string; readonly spec: Pick<ContainerSpec, 'layers'> },
): Promise<VolumeSource> {
  const volumes = new Volumes(place);
  const { name, isAnonymous, noCopy, target, subpath, labels } = mount;
  const volume = volumes.create({ name, labels: { ...labels, ...(isAnonymous && { [ANONYMOUS]: '' }) } });
  const source = sourceOf(volume);
  if (source.kind === 'tmpfs') return source;
  if (source.path !== volume.directory) assertDirectory(volume, source.path);
  else {
    const { layers } = container.spec;
    const isUsed = () => volumes.usersOf(name).some((id) => id !== container.id);
    await fill(place, volume, isUsed, noCopy || subpath !== undefined ? undefined : { layers, target });
  }
  return subpath === undefined ? source : { ...source, path: within(volume, source.path, subpath) };
}

function assertDirectory({ name }: Volume, path: string): void {
  if (existsSync(path)) return;
  throw new TbuildError('volume/no-device', `failed to mount local volume ${name}: ${path}: no such file or directory`);
}

/** Docker follows no link there either, for whoever writes to the volume may have put it there. */
function within({ name }: Volume, root: string, subpath: string): string {
  let at = root;
  for (const part of subpath.split('/').filter((part) => part !== '' && part !== '.')) {
    at = join(at, part);
    const found = part === '..' ? undefined : lstatSync(at, { throwIfNoEntry: false });
    if (found && (found.isDirectory() || found.isFile())) continue;
    throw new TbuildError('volume/no-subpath', `cannot access path ${subpath} of the volume ${name}: no such file or directory`, {
      hint: 'a subpath is a directory or a file of the volume, with no link on the way',
    });
  }
  return at;
}

/** `from`: what an empty one is to hold. `isUsed`: by another container. */
async function fill(
  place: Workplace,
  volume: Volume,
  isUsed: () => boolean,
  from: { readonly layers: readonly string[]; readonly target: string } | undefined,
): Promise<void> {
  const directory = dirname(volume.directory);
  const lock = await lockVolume(place, volume);
  const [fresh, whole] = [join(directory, '.new'), join(directory, '.whole')];
  try {
    await finish(place, volume, isUsed, whole);
    if (!from || !(await isEmpty(place, volume))) return;
    const stack = await stackAt(place, volume.name, from);
    if (!stack) return;
    // What a kill left.
    await place.serve.call('remove', { path: fresh });
    await place.serve.call('copyTree', { stacks: [stack], out: fresh, owners: true });
    renameSync(fresh, whole);
    await finish(place, volume, isUsed, whole);
  } finally {
    await place.serve.call('unlock', { lock });
  }
}

/** Its directory may be removed while others wait for its lock. */
async function lockVolume({ serve }: Workplace, { directory }: Volume): Promise<number> {
  for (;;) {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    const path = lockPath(dirname(directory));
    const { lock } = await serve.call('lock', { path, wait: true });
    if (lock !== null && existsSync(directory)) return lock;
    if (lock !== null) await serve.call('unlock', { lock });
  }
}

/** What is whole goes into its place: at once, or where another container has the place mounted already, entry by entry; a kill leaves the rest for the next. */
async function finish(place: Workplace, volume: Volume, isUsed: () => boolean, whole: string): Promise<void> {
  if (!existsSync(whole)) return;
  if (!isUsed() && readdirIfAllowed(volume.directory)?.length === 0) {
    renameSync(whole, volume.directory);
    return;
  }
  await place.serve.call('placeTree', { from: whole, to: volume.directory, delete: false });
  await place.serve.call('remove', { path: whole });
}

async function isEmpty({ serve }: Workplace, { directory }: Volume): Promise<boolean> {
  const names = readdirIfAllowed(directory);
  if (names) return names.length === 0;
  return (await serve.call('measure', { path: directory })).entries === 0;
}

/** Undefined: it belongs to one of an account's further ids. */
function readdirIfAllowed(path: string): string[] | undefined {
  try {
    return readdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return undefined;
    throw error;
  }
}

/** Undefined: the image has no directory there. */
async function stackAt(
  { layers: store }: Workplace,
  name: string,
  { layers, target }: { readonly layers: readonly string[]; readonly target: string },
): Promise<LayerStack | undefined> {
  const tree = mergedTree(layers.map((id) => store.index(id as Digest)));
  const found = resolvePath(tree, target, true);
  if (found?.entry?.type !== 'dir' || found.path === '') return undefined;
  const present = await store.presentAll(layers.map((id) => layerOf(store, id as Digest)));
  const files = present.map((layer) => ({ index: store.indexPath(layer.id), data: store.dataPath(layer) }));
  return { name: `the volume ${name}`, directory: '', subtree: found.path, layers: files };
}

function layerOf(store: Workplace['layers'], id: Digest): Layer {
  const layer = store.get(id);
  if (layer) return layer;
  throw new TbuildError('store/layer-gone', `the layer ${id} is not in the store`, { hint: 'load or build its image again' });
}
