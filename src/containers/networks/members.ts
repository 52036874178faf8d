// Who is in a network, and what becomes of a network that has members: it is not removed. Containers come and go: while they run, their monitor tells
// netavark. Docker's words (moby, daemon/network.go, daemon/container_operations.go).

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TbuildError } from '../../base/errors.ts';
import { control } from '../../native/monitor.ts';
import { connectionsOf } from '../connections.ts';
import { type Container, isAlive } from '../containers.ts';
import type { ContainerSpec, NetworkAttachment } from '../spec.ts';
import { dropAddresses, freeWhatIsLeft, holdersOf } from './addresses.ts';
import { writeNetworkFiles } from './files.ts';
import { connectTo, type NetworksPlace } from './join.ts';
import { engineOptions } from './netavark.ts';
import { engineName, isPredefined, type Network } from './network.ts';
import { Networks } from './networks.ts';

/** A container that runs in it. */
export interface Member {
  readonly container: Container;
  readonly endpointId: string;
  readonly addresses: readonly string[];
  readonly mac: string;
}

export function membersOf({ store, containers }: NetworksPlace, network: Network): Member[] {
  const rows = holdersOf(store, network);
  const ids = new Set(rows.map(({ container }) => container));
  const inIt = containers.list().filter(({ id }) => ids.has(id));
  return inIt.flatMap((container) => {
    const state = container.state();
    if (!isAlive(state.status)) return [];
    const addresses = rows.filter((row) => row.container === container.id).map(({ address }) => address);
    const mac = connectionsOf(container, state).networks.find((one) => one.network === network.name)?.mac ?? '';
    return { container, endpointId: endpointId(container.id, network.id), addresses, mac };
  });
}

const endpointId = (container: string, network: string) => createHash('sha256').update(`${container} ${network}`).digest('hex');

/** Throws `network/in-use`, `network/predefined`. */
export function removeNetwork(place: NetworksPlace, network: Network): void {
  const { store, containers } = place;
  const networks = new Networks({ store });
  if (isPredefined(network)) networks.remove(network);
  store.db.immediate(() => {
    freeWhatIsLeft(store, '');
    const holders = new Set(holdersOf(store, network).map(({ container }) => container));
    const active = containers.list().filter(({ id }) => holders.has(id));
    if (active.length > 0) {
      const shown = active.map(({ id, name }) => `name:"${name}" id:"${id.slice(0, 12)}"`);
      throw new TbuildError(
        'network/in-use',
        `error while removing network: network ${network.name} has active endpoints (${shown.join(', ')})`,
      );
    }
    networks.remove(network);
  });
}

/** Those that were made, and no container that runs is in. Resolves to their names. */
export function pruneNetworks(place: NetworksPlace, isMeant: (network: Network) => boolean): string[] {
  return new Networks(place)
    .list()
    .filter((network) => !isPredefined(network) && isMeant(network) && isRemoved(place, network))
    .map(({ name }) => name);
}

function isRemoved(place: NetworksPlace, network: Network): boolean {
  try {
    removeNetwork(place, network);
    return true;
  } catch (error) {
    if (error instanceof TbuildError && error.code === 'network/in-use') return false;
    throw error;
  }
}

/** Of one that runs, or from its next start on. Throws `network/…`. */
export async function connectContainer(
  place: NetworksPlace,
  network: Network,
  container: Container,
  asked: Omit<NetworkAttachment, 'network'>,
): Promise<void> {
  const { store, containers } = place;
  const attachment = { ...asked, network: network.name };
  const attached = attachedNetworks(container);
  if (attached.some((one) => one.network === network.name)) {
    throw new TbuildError('network/exists', `endpoint with name ${container.name} already exists in network ${network.name}`);
  }
  if (network.driver !== 'bridge') {
    throw new TbuildError('network/conflict', `container cannot be connected to ${network.name} network`);
  }
  const update = () => containers.update(container, withNetworks(container.spec, [...attached, attachment]));
  if (!isAlive(container.state().status)) return update();
  if (container.state().network === null) {
    throw new TbuildError(
      'network/conflict',
      `container ${container.name} has no bridge: it cannot join ${network.name} while it runs`,
    );
  }
  const told = toldOptions(container);
  const connection = store.db.immediate(() => {
    freeWhatIsLeft(store, container.id);
    return connectTo(store, container, network, attachment, freeInterface(told));
  });
  const { networks, network_info } = engineOptions(container, [connection], []);
  try {
    await control(container.directory, { op: 'netconnect', options: { ...told, networks, network_info } });
  } catch (error) {
    dropAddresses(store, network, container.id);
    throw error;
  }
  update();
  rewriteFiles(place, containers.find(container.id));
}

/** Throws `network/not-connected`. */
export async function disconnectContainer(place: NetworksPlace, network: Network, container: Container): Promise<void> {
  const { store, containers } = place;
  const attached = attachedNetworks(container);
  const left = attached.filter((one) => one.network !== network.name);
  if (left.length === attached.length) {
    throw new TbuildError('network/not-connected', `container ${container.id} is not connected to network ${network.name}`);
  }
  if (isAlive(container.state().status)) {
    const options = onlyOf(toldOptions(container), engineName(network));
    await control(container.directory, { op: 'netdisconnect', options });
    dropAddresses(store, network, container.id);
  }
  containers.update(container, withNetworks(container.spec, left));
  rewriteFiles(place, containers.find(container.id));
}

/** netavark's, of all that the container is in by now: its monitor keeps them. */
interface ToldOptions {
  readonly networks: Readonly<Record<string, { readonly interface_name: string }>>;
  readonly network_info: Readonly<Record<string, unknown>>;
}

function toldOptions({ directory }: Container): ToldOptions {
  return JSON.parse(readFileSync(join(directory, 'network.json'), 'utf8')) as ToldOptions;
}

function onlyOf(options: ToldOptions, name: string): ToldOptions {
  const pick = <T>(all: Readonly<Record<string, T>>) => Object.fromEntries(Object.entries(all).filter(([key]) => key === name));
  return { ...options, networks: pick(options.networks), network_info: pick(options.network_info) };
}

function freeInterface({ networks }: ToldOptions): string {
  const taken = new Set(Object.values(networks).map(({ interface_name }) => interface_name));
  for (let at = 0; ; at++) if (!taken.has(`eth${at}`)) return `eth${at}`;
}

/** Of one that runs; the next start writes them anyway. */
function rewriteFiles({ store }: NetworksPlace, container: Container): void {
  if (!isAlive(container.state().status)) return;
  const networks = new Networks({ store });
  const endpoints = container.spec.network.networks.map(({ network: name }) => {
    const network = networks.find(name);
    const held = holdersOf(store, network).filter((row) => row.container === container.id);
    return { network, addresses: held.map(({ address }) => address), mac: '' };
  });
  writeNetworkFiles(container, endpoints);
}

function attachedNetworks({ spec: { network } }: Container): readonly NetworkAttachment[] {
  if (network.mode === 'bridge') return network.networks;
  throw new TbuildError(
    'network/conflict',
    network.mode === 'none'
      ? 'container cannot be connected to multiple networks with one of the networks in private (none) mode'
      : 'container sharing network namespace with another container or host cannot be connected to any other network',
  );
}

const withNetworks = (spec: ContainerSpec, networks: readonly NetworkAttachment[]): ContainerSpec => ({
  ...spec,
  network: { mode: 'bridge', networks },
});
