// Whose namespaces a container has: its own, the machine's, or another container's, which must run. A user namespace of its own it has where nothing
// that it was given needs one to be somebody on the machine; with another container's namespaces it is in that one's.

import { readlinkSync } from 'node:fs';
import { TbuildError } from '../base/errors.ts';
import { needHost } from '../sandbox/capabilities.ts';
import type { NamespaceType } from '../sandbox/container-config.ts';
import type { Network } from '../sandbox/network.ts';
import type { UserNamespace } from '../sandbox/user-namespace.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { Containers } from './containers.ts';
import type { ContainerMount, ContainerSpec } from './spec.ts';

export interface Namespaces {
  readonly userns: UserNamespace;
  /** Those that are not new: `host`, or a path. */
  readonly places: Readonly<Partial<Record<NamespaceType, string>>>;
  /** Itself, or by the container whose network it has. */
  readonly isOnHostNetwork: boolean;
}

/** Throws `container/not-running`, `unsupported/namespaces`. */
export function namespacesOf(workplace: Workplace, spec: ContainerSpec, network: Network, isOtherRuntime: boolean): Namespaces {
  const joined = joinedOf(workplace, spec);
  const places: Partial<Record<NamespaceType, string>> = {};
  for (const [type, pid] of joined) {
    // On the machine's network there is nothing to enter.
    places[type] = isHosts(pid, FILES[type]) ? 'host' : `/proc/${pid}/ns/${FILES[type]}`;
  }
  if (spec.pid === 'host') places.pid = 'host';
  if (spec.ipc === 'host') places.ipc = 'host';
  if (spec.uts === 'host') places.uts = 'host';
  if (spec.cgroupns === 'host') places.cgroup = 'host';
  const isOnHostNetwork = network === 'host' || places.network === 'host';
  const [first] = joined.values();
  if (first !== undefined) return inThoseOf(first, joined, { places, isOnHostNetwork });
  const isMapped = !isOtherRuntime && !isOnHostNetwork && workplace.driver.userns && !needsHost(spec);
  return { userns: isMapped ? 'private' : 'host', places, isOnHostNetwork };
}

/** Rights on the host, its devices, its namespaces and what shows it are for who is somebody there. */
function needsHost(spec: ContainerSpec): boolean {
  const { userns, privileged, devices, deviceRules, capAdd, pid, ipc, uts, cgroupns } = spec;
  const isGiven = privileged || devices.length > 0 || deviceRules.length > 0 || needHost(capAdd) || spec.mounts.some(showsHost);
  return userns === 'host' || isGiven || [pid, ipc, uts, cgroupns].includes('host');
}

/** What the kernel shows of the machine in these belongs to the machine's ids, and cannot be shown as another's. */
function showsHost(mount: ContainerMount): boolean {
  return mount.type === 'bind' && /^\/(?:$|(?:proc|sys|dev)(?:\/|$))/.test(mount.source);
}

const FILES: Readonly<Record<NamespaceType, string>> = {
  pid: 'pid',
  ipc: 'ipc',
  uts: 'uts',
  cgroup: 'cgroup',
  network: 'net',
  user: 'user',
};

/** The first process of each container that is named. */
function joinedOf(workplace: Workplace, spec: ContainerSpec): Map<NamespaceType, number> {
  const { network, pid, ipc } = spec;
  const wanted: [NamespaceType, string | undefined][] = [
    ['network', network.container],
    ['pid', after(pid)],
    ['ipc', after(ipc)],
  ];
  const named = wanted.filter((one): one is [NamespaceType, string] => one[1] !== undefined);
  if (named.length > 0 && workplace.ids !== undefined) {
    throw new TbuildError(
      'unsupported/namespaces',
      "another container's namespaces take root: an account's containers are each in a user namespace of their own",
    );
  }
  const containers = named.length > 0 ? new Containers(workplace) : undefined;
  return new Map(named.map(([type, id]) => [type, processOf(containers as Containers, id, type)]));
}

const after = (mode: string) => (mode.startsWith('container:') ? mode.slice('container:'.length) : undefined);

function processOf(containers: Containers, id: string, type: NamespaceType): number {
  const { name, state } = containers.find(id);
  const { status, pid } = state();
  if ((status === 'running' || status === 'paused') && pid !== 0) return pid;
  throw new TbuildError('container/not-running', `cannot join ${type} namespace of a non running container: ${name}`);
}

/** In two user namespaces nobody can have both. */
function inThoseOf(
  first: number,
  joined: ReadonlyMap<NamespaceType, number>,
  { places, isOnHostNetwork }: Omit<Namespaces, 'userns'>,
): Namespaces {
  if (isHosts(first, 'user')) return { userns: 'host', places, isOnHostNetwork };
  const own = readlinkSync(`/proc/${first}/ns/user`);
  if ([...joined.values()].some((pid) => readlinkSync(`/proc/${pid}/ns/user`) !== own)) {
    throw new TbuildError(
      'unsupported/namespaces',
      'namespaces of two containers cannot be had at once: each is in a user namespace of its own',
      {
        hint: 'run the others with --userns=host',
      },
    );
  }
  return { userns: 'private', places: { ...places, user: `/proc/${first}/ns/user` }, isOnHostNetwork };
}

const isHosts = (pid: number, name: string) => readlinkSync(`/proc/${pid}/ns/${name}`) === readlinkSync(`/proc/self/ns/${name}`);
