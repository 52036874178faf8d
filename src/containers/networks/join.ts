// A container's start, as far as networks go: which it is on, with which addresses and ports, what its monitor tells netavark, and the files inside.
// What is taken here is held by this process until the monitor runs (addresses.ts). Makes nothing on the host.

import { TbuildError } from '../../base/errors.ts';
import type { Store } from '../../base/store.ts';
import type { MonitorSpec } from '../../native/monitor.ts';
import type { RootSpec } from '../../native/with-root.ts';
import { filesOfOwnNetwork, hostFiles, type SandboxFile } from '../../sandbox/files.ts';
import { networkOf } from '../../sandbox/network.ts';
import { type Container, type Containers, isAlive } from '../containers.ts';
import type { NetworkAttachment } from '../spec.ts';
import { type Endpoint, freeWhatIsLeft, holdersOf, takeAddresses } from './addresses.ts';
import { addedHosts, filesOnNetworks } from './files.ts';
import { type Connection, engineDirectory, engineOptions, findNetavark } from './netavark.ts';
import { DEFAULT_NETWORK, type Network } from './network.ts';
import { Networks } from './networks.ts';
import { takePorts } from './ports.ts';

export interface ContainerNetwork {
  /** For the configuration: the host's, a new one, one of its own by with-root, or that of a process. */
  readonly namespace: 'host' | 'none' | 'own' | { readonly path: string };
  /** /etc/hosts and /etc/resolv.conf. */
  readonly files: readonly SandboxFile[];
  /** In their place, where with-root could make a network. */
  readonly ownNetwork?: RootSpec['ownNetwork'];
  readonly monitor: MonitorSpec['network'];
}

export interface NetworksPlace {
  readonly store: Store;
  readonly containers: Containers;
}

/** Throws `network/…`, docker's words. */
export async function joinNetworks(place: NetworksPlace, container: Container): Promise<ContainerNetwork> {
  const { network } = container.spec;
  if (network.mode === 'host' || network.mode === 'none') return plain(container, network.mode);
  if (network.mode === 'container') return joinContainer(place, network.container ?? '');
  const command = findNetavark();
  if (command === undefined) return withoutNetavark(container);
  await settleAbandoned(place);
  const { connections, ports } = place.store.db.immediate(() => {
    freeWhatIsLeft(place.store, container.id);
    const connected = connectAll(place.store, container);
    return { connections: connected, ports: takePorts(place.store, container) };
  });
  const endpoints = connections.map(({ endpoint }) => endpoint);
  return {
    namespace: 'none',
    files: filesOnNetworks(container.spec, hostnameOf(container), endpoints),
    monitor: { command, directory: engineDirectory(place.store), options: engineOptions(container, connections, ports) },
  };
}

const hostnameOf = ({ id, spec }: Container): string => spec.hostname || id.slice(0, 12);

function plain(container: Container, mode: 'host' | 'none' | 'own'): ContainerNetwork {
  const added = addedHosts(container.spec, '127.0.0.1');
  const hostname = hostnameOf(container);
  return {
    namespace: mode,
    files: hostFiles(mode, hostname, added),
    ...filesOfOwnNetwork(mode, hostname, added),
    monitor: null,
  };
}

/** The default network is then what there was before there were networks; others cannot be had. */
function withoutNetavark(container: Container): ContainerNetwork {
  const isRoot = process.getuid?.() === 0;
  const other = container.spec.network.networks.find(({ network }) => network !== DEFAULT_NETWORK);
  if (!other) return plain(container, networkOf('default', isRoot) as 'host' | 'own');
  throw new TbuildError(
    'network/no-engine',
    `the network ${other.network} cannot be joined: ${isRoot ? 'netavark is not installed' : 'only root makes bridges'}`,
    {
      hint: isRoot
        ? 'install netavark and aardvark-dns, or use --network=host'
        : 'leave --network away: the container then has a network of its own, by pasta or slirp4netns',
    },
  );
}

/** What holds addresses and ports, and whose monitor was killed, is cleared away first. */
async function settleAbandoned({ store, containers }: NetworksPlace): Promise<void> {
  const holding = store.db.all<{ container: string }>('SELECT container FROM addresses UNION SELECT container FROM ports');
  const known = new Set(holding.map(({ container }) => container));
  for (const one of containers.list()) if (known.has(one.id)) await containers.settle(one);
}

function connectAll(store: Store, container: Container): Connection[] {
  const networks = new Networks({ store });
  const wanted = container.spec.network.networks.map((attachment) => ({
    attachment,
    network: networks.find(attachment.network),
  }));
  for (const { network } of wanted) assertBridge(network);
  freeAddresses(
    store,
    container.id,
    wanted.map(({ network }) => network.id),
  );
  return wanted.map(({ attachment, network }, at) => connectTo(store, networks, container, network, attachment, `eth${at}`));
}

/** Of networks that it has left since. */
function freeAddresses(store: Store, container: string, stays: readonly string[]): void {
  const rows = store.db.all<{ network: string }>('SELECT network FROM addresses WHERE container = ?', container);
  for (const { network } of rows) {
    if (!stays.includes(network)) store.db.run('DELETE FROM addresses WHERE container = ? AND network = ?', container, network);
  }
}

/** Inside a transaction. */
export function connectTo(
  store: Store,
  networks: Networks,
  container: Pick<Container, 'id'>,
  network: Network,
  attachment: NetworkAttachment,
  interfaceName: string,
): Connection {
  assertAttachment(network, attachment);
  const isEmpty = holdersOf(store, network).every((holder) => holder.container === container.id);
  const settled = isEmpty ? networks.withFreeSubnets(network) : network;
  return { attachment, endpoint: takeAddresses(store, settled, attachment, container.id), interface: interfaceName };
}

function assertBridge({ name, driver }: Network): void {
  if (driver === 'bridge') return;
  throw new TbuildError('network/conflict', `container cannot be connected to network endpoints: ${name}`);
}

/** Docker's rules and words (moby, daemon/container_operations.go: validateEndpointSettings). */
function assertAttachment(network: Network, { aliases, address }: NetworkAttachment): void {
  if (address !== undefined && network.name === DEFAULT_NETWORK) {
    throw new TbuildError(
      'network/bad-address',
      'invalid endpoint settings:\nuser specified IP address is supported on user defined networks only',
    );
  }
  if (address !== undefined && !network.hasOwnSubnets) {
    throw new TbuildError(
      'network/bad-address',
      'invalid endpoint settings:\nuser specified IP address is supported only when connecting to networks with user configured subnets',
    );
  }
  if (aliases.length > 0 && network.name === DEFAULT_NETWORK) {
    throw new TbuildError(
      'network/bad-alias',
      'invalid endpoint settings:\nnetwork-scoped aliases are only supported for user-defined networks',
    );
  }
}

/** Its namespace, and its files: they say its own name. */
function joinContainer({ store, containers }: NetworksPlace, id: string): ContainerNetwork {
  const other = containers.find(id);
  const { status, pid } = other.state();
  if (!isAlive(status) || pid === 0) {
    throw new TbuildError('network/not-running', `cannot join network of a non running container: ${other.id}`);
  }
  const { mode } = other.spec.network;
  if (mode === 'container')
    return { ...joinContainer({ store, containers }, other.spec.network.container ?? ''), namespace: pathOf(pid) };
  const endpoints = endpointsOf(store, other);
  if (endpoints.length === 0) return { ...plain(other, mode === 'none' ? 'none' : 'host'), namespace: pathOf(pid) };
  return { namespace: pathOf(pid), files: filesOnNetworks(other.spec, hostnameOf(other), endpoints), monitor: null };
}

const pathOf = (pid: number) => ({ path: `/proc/${pid}/ns/net` });

function endpointsOf(store: Store, { id, spec }: Container): Endpoint[] {
  const networks = new Networks({ store });
  return spec.network.networks.flatMap(({ network: name }) => {
    const network = networks.list().find((one) => one.name === name);
    const addresses = network ? holdersOf(store, network).filter(({ container }) => container === id) : [];
    return network && addresses.length > 0 ? { network, addresses: addresses.map(({ address }) => address), mac: '' } : [];
  });
}
