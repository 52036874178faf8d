// A container's mounts as the runtime takes them: directories and files of this machine, volumes, memory, and other images' layers.

import { mkdirSync, statSync } from 'node:fs';
import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { RootSpec } from '../native/with-root.ts';
import type { Mount } from '../sandbox/container-config.ts';
import { idmapOptions, type UserNamespace } from '../sandbox/user-namespace.ts';
import type { Layer } from '../snapshots/layers.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { ContainerMount, ContainerSpec } from './spec.ts';
import { mountVolume } from './volumes/mount-volume.ts';

export interface RootMounts {
  readonly mounts: readonly Mount[];
  /** Mount points that the image may lack. */
  readonly stub: RootSpec['stub'];
  /** Further roots, in the order in which `mounts` name them. */
  readonly roots: RootSpec['mounts'];
  readonly targets: ReadonlySet<string>;
  /** Of the container's root: what a mount that propagates needs. */
  readonly propagation: string | undefined;
}

interface Surroundings {
  readonly userns: UserNamespace;
  readonly scratch: string;
  /** Of devices. */
  readonly devices: readonly Mount[];
}

interface Part {
  readonly mount: Mount;
  readonly type: 'dir' | 'file';
}

export async function rootMounts(
  workplace: Workplace,
  spec: ContainerSpec,
  container: { readonly id: string },
  { userns, scratch, devices }: Surroundings,
): Promise<RootMounts> {
  const parts: Part[] = devices.map((mount) => ({ mount, type: typeOf(mount.source) }));
  const roots: RootSpec['mounts'][number][] = [];
  for (const mount of spec.mounts) {
    if (mount.type === 'image') {
      parts.push({ mount: imageMount(`${scratch}/m/${roots.length}`, mount.target), type: 'dir' });
      roots.push({ layers: await layersOf(workplace, mount.layers), writable: false });
    } else parts.push(await partOf(workplace, spec, container, mount, userns));
  }
  return {
    mounts: parts.map(({ mount }) => mount),
    stub: parts.map(({ mount: { destination }, type }) => ({ path: destination.slice(1), type })),
    roots,
    targets: new Set(parts.map(({ mount }) => mount.destination)),
    propagation: propagationOf(spec.mounts),
  };
}

async function partOf(
  workplace: Workplace,
  spec: ContainerSpec,
  { id }: { readonly id: string },
  mount: Exclude<ContainerMount, { readonly type: 'image' }>,
  userns: UserNamespace,
): Promise<Part> {
  if (mount.type === 'tmpfs') return { mount: tmpfs(mount.target, mount.options), type: 'dir' };
  if (mount.type === 'bind') {
    if (mount.makesSource && !statSync(mount.source, { throwIfNoEntry: false })) mkdirSync(mount.source, { recursive: true });
    return bind(mount.source, mount.target, bindOptions(mount), userns);
  }
  const source = await mountVolume(workplace, mount, { id, spec });
  if (source.kind === 'tmpfs')
    return { mount: tmpfs(mount.target, [...source.options, ...(mount.readonly ? ['ro'] : [])]), type: 'dir' };
  return bind(source.path, mount.target, ['rbind', 'rprivate', mount.readonly || source.readonly ? 'rro' : 'rw'], userns);
}

/** What is mounted below comes along, and is as closed: the host's /dev in its root. */
function bindOptions({
  readonly,
  nonRecursive,
  propagation,
  isWritableBelow,
}: Extract<ContainerMount, { readonly type: 'bind' }>): string[] {
  const access = readonly ? (isWritableBelow || nonRecursive ? 'ro' : 'rro') : 'rw';
  return [nonRecursive ? 'bind' : 'rbind', propagation || 'rprivate', access];
}

function bind(source: string, destination: string, options: readonly string[], userns: UserNamespace): Part {
  const [how = 'bind'] = options;
  const closed = how === 'rbind' ? 'rnodev' : 'nodev';
  return {
    mount: { destination, type: 'bind', source, options: [...options, closed, ...idmapOptions(userns, how === 'rbind')] },
    type: typeOf(source),
  };
}

function typeOf(path: string): 'dir' | 'file' {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) throw new TbuildError('run/mount', `invalid mount config for type "bind": bind source path does not exist: ${path}`);
  return stat.isDirectory() ? 'dir' : 'file';
}

/** What is said wins over these (moby: daemon/oci_linux.go, withMounts). */
const TMPFS_OPTIONS = ['noexec', 'nosuid', 'nodev'];

function tmpfs(destination: string, options: readonly string[]): Mount {
  const given = new Set(options);
  const kept = TMPFS_OPTIONS.filter((option) => !given.has(option) && !given.has(option.slice('no'.length)));
  const mode = options.some((option) => option.startsWith('mode=')) ? [] : ['mode=1777'];
  const propagation = options.some((option) => /^r?(?:private|shared|slave|unbindable)$/.test(option)) ? [] : ['rprivate'];
  return { destination, type: 'tmpfs', source: 'tmpfs', options: [...kept, ...mode, ...propagation, ...options] };
}

function imageMount(source: string, destination: string): Mount {
  return { destination, type: 'bind', source, options: ['bind', 'rprivate', 'ro', 'nosuid', 'nodev'] };
}

async function layersOf(workplace: Workplace, ids: readonly string[]): Promise<RootSpec['mounts'][number]['layers']> {
  const present = await workplace.layers.presentAll(ids.map((id) => workplace.layers.get(id as Digest) as Layer));
  return present.map((layer) => workplace.layers.lower(layer));
}

/** A slave's mounts come in only where the root is one, too. */
function propagationOf(mounts: readonly ContainerMount[]): string | undefined {
  const words = mounts.map((mount) => (mount.type === 'bind' ? mount.propagation : ''));
  return words.some((word) => /shared$/.test(word))
    ? 'rshared'
    : words.some((word) => /slave$/.test(word))
      ? 'rslave'
      : undefined;
}
