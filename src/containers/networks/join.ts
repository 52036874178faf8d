// A container's start, as far as bridges go: which it is on, with which addresses and ports, what its monitor tells netavark, and the files inside that
// say so. What is taken here is held by this process until the monitor runs (addresses.ts). Makes nothing on the host. Docker's words.

import { existsSync } from 'node:fs';
import { TbuildError } from '../../base/errors.ts';
import type { Store } from '../../base/store.ts';
import type { MonitorSpec } from '../../native/monitor.ts';
import type { Container, Containers } from '../containers.ts';
import type { NetworkAttachment } from '../spec.ts';
import { freeWhatIsLeft, holdersOf, takeAddresses } from './addresses.ts';
import { type NetworkFiles, networkFilesOf, writeNetworkFiles } from './files.ts';
import { type Connection, engineDirectory, engineOptions, findNetavark } from './netavark.ts';
import { DEFAULT_NETWORK, type Network } from './network.ts';
import { Networks } from './networks.ts';
import { takePorts, wantedPorts } from './ports.ts';

export interface JoinedNetworks {
  readonly monitor: MonitorSpec['network'];
  /** Undefined: sandbox/files.ts has them. */
  readonly files?: NetworkFiles;
}

export interface NetworksPlace {
  readonly store: Store;
  readonly containers: Containers;
}

/** Throws `network/…`. */
export async function joinNetworks(place: NetworksPlace, container: Container): Promise<JoinedNetworks> {
  const { mode, container: other, networks } = container.spec.network;
  if (mode === 'host' || mode === 'none') return { monitor: null };
  if (mode === 'container') return joinContainer(place.containers.find(other ?? ''));
  if (networks.length === 0) return { monitor: null, files: writeNetworkFiles(container, []) };
  const command = findNetavark();
  if (command === undefined) return withoutNetavark(container);
  await settleAbandoned(place);
  // The predefined ones are made at the first look, which is a transaction of its own.
  new Networks({ store: place.store }).list();
  const { connections, ports } = place.store.db.immediate(() => {
    freeWhatIsLeft(place.store, container.id);
    const connected = connectAll(place.store, container);
    return { connections: connected, ports: takePorts(place.store, container) };
  });
  const files = writeNetworkFiles(
    container,
    connections.map(({ endpoint }) => endpoint),
  );
  return {
    files,
    monitor: { command, directory: engineDirectory(place.store), options: engineOptions(container, connections, ports) },
  };
}

/** Its namespace is namespaces.ts's. Its files are its own, and go on being so. */
function joinContainer(other: Container): JoinedNetworks {
  const files = networkFilesOf(other.directory);
  return { monitor: null, ...(other.spec.network.mode === 'bridge' && existsSync(files.hosts) && { files }) };
}

/** The default network is then what there was before there were networks; others cannot be had, and nothing leads to a port. */
function withoutNetavark({ spec }: Container): JoinedNetworks {
  const other = spec.network.networks.find(({ network }) => network !== DEFAULT_NETWORK);
  const [port] = wantedPorts(spec);
  if (!other && !port) return { monitor: null };
  const isRoot = process.getuid?.() === 0;
  const [why, hint] = isRoot
    ? ['netavark is not installed, or may not be used', 'install netavark and aardvark-dns, or use --network=host']
    : ['only root makes bridges', 'without --network and --publish the container has a network of its own, or --network=host'];
  const what = other ? `the network ${other.network} cannot be joined` : `the port ${port?.containerPort} cannot be published`;
  throw new TbuildError('network/no-engine', `${what}: ${why}`, { hint });
}

/** What holds addresses and ports, and whose monitor was killed, is cleared away first. */
async function settleAbandoned({ store, containers }: NetworksPlace): Promise<void> {
  const rows = store.db.all<{ container: string }>('SELECT container FROM addresses UNION SELECT container FROM ports');
  const holding = new Set(rows.map(({ container }) => container));
  if (holding.size === 0) return;
  for (const one of containers.list()) if (holding.has(one.id)) await containers.settle(one);
}

function connectAll(store: Store, container: Container): Connection[] {
  const networks = new Networks({ store });
  const wanted = container.spec.network.networks.map((attachment) => ({
    attachment,
    network: networks.find(attachment.network),
  }));
  store.db.run(
    'DELETE FROM addresses WHERE container = ? AND network NOT IN (SELECT value FROM json_each(?))',
    container.id,
    JSON.stringify(wanted.map(({ network }) => network.id)),
  );
  return wanted.map(({ attachment, network }, at) => connectTo(store, container, network, attachment, `eth${at}`));
}

/** Inside a transaction. */
export function connectTo(
  store: Store,
  container: Pick<Container, 'id'>,
  network: Network,
  attachment: NetworkAttachment,
  interfaceName: string,
): Connection {
  assertAttachment(network, attachment);
  const isEmpty = holdersOf(store, network).every((holder) => holder.container === container.id);
  const settled = isEmpty ? new Networks({ store }).withFreeSubnets(network) : network;
  return { attachment, endpoint: takeAddresses(store, settled, attachment, container.id), interface: interfaceName };
}

/** moby, daemon/container_operations.go: validateEndpointSettings. */
function assertAttachment({ name, driver, hasOwnSubnets }: Network, { aliases, address }: NetworkAttachment): void {
  const invalid = (why: string) => new TbuildError('network/bad-endpoint', `invalid endpoint settings:\n${why}`);
  if (driver !== 'bridge') {
    throw new TbuildError('network/conflict', `container cannot be connected to network endpoints: ${name}`);
  }
  if (name === DEFAULT_NETWORK && address !== undefined) {
    throw invalid('user specified IP address is supported on user defined networks only');
  }
  if (name === DEFAULT_NETWORK && aliases.length > 0) {
    throw invalid('network-scoped aliases are only supported for user-defined networks');
  }
  if (address !== undefined && !hasOwnSubnets) {
    throw invalid('user specified IP address is supported only when connecting to networks with user configured subnets');
  }
}
