// What netavark is told of a container: its form of networks, addresses and ports (docs/networks.md). The monitor calls it. Only looks.

import { accessSync, constants, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Store } from '../../base/store.ts';
import type { Container } from '../containers.ts';
import type { NetworkAttachment } from '../spec.ts';
import type { Endpoint } from './addresses.ts';
import { DEFAULT_NETWORK, engineName, type Network } from './network.ts';
import type { PublishedPort } from './ports.ts';

const PLACES = ['/usr/lib/podman', '/usr/libexec/podman', '/usr/local/libexec/podman', '/usr/local/lib/podman'];

/** Undefined: it is not installed, or not for us. */
export function findNetavark(): string | undefined {
  if (process.getuid?.() !== 0 || !mayChangeNetworks()) return undefined;
  const folders = [...PLACES, ...(process.env.PATH ?? '').split(':').filter((folder) => folder.startsWith('/'))];
  return folders.map((folder) => join(folder, 'netavark')).find(isExecutable);
}

const CAP_NET_ADMIN = 12n;

/** Root of a container has not what it takes. */
function mayChangeNetworks(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
  return (BigInt(`0x${effective}`) >> CAP_NET_ADMIN) % 2n === 1n;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** This boot's; those of others hold what was true of another time. */
export function engineDirectory(store: Store): string {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  const parent = store.path('networks');
  mkdirSync(join(parent, boot), { recursive: true, mode: 0o700 });
  for (const name of readdirSync(parent)) if (name !== boot) rmSync(join(parent, name), { recursive: true, force: true });
  return join(parent, boot);
}

export interface Connection {
  readonly attachment: NetworkAttachment;
  readonly endpoint: Endpoint;
  /** `eth0`: the first network's. */
  readonly interface: string;
}

/** Names are not resolved in the default network, as in docker's. */
export const hasNames = ({ name }: Network): boolean => name !== DEFAULT_NETWORK;

export function engineOptions(
  { id, name, spec }: Pick<Container, 'id' | 'name' | 'spec'>,
  connections: readonly Connection[],
  ports: readonly PublishedPort[],
): Readonly<Record<string, unknown>> {
  const byName = <T>(make: (connection: Connection) => T) =>
    Object.fromEntries(connections.map((connection) => [engineName(connection.endpoint.network), make(connection)]));
  const names = [id.slice(0, 12), ...(spec.hostname === '' ? [] : [spec.hostname])];
  return {
    container_id: id,
    container_name: name,
    ...(spec.dns.servers.length > 0 && { dns_servers: spec.dns.servers }),
    port_mappings: ports.map(({ hostAddress, hostPort, containerPort, protocol }) => ({
      host_ip: hostAddress === '0.0.0.0' ? '' : hostAddress,
      host_port: hostPort,
      container_port: containerPort,
      protocol,
      range: 1,
    })),
    networks: byName(({ attachment, endpoint, interface: interfaceName }) => ({
      interface_name: interfaceName,
      static_ips: endpoint.addresses,
      static_mac: endpoint.mac,
      aliases: hasNames(endpoint.network) ? [...new Set([...attachment.aliases, ...names])] : [],
    })),
    network_info: byName(({ endpoint: { network }, interface: interfaceName }) => describe(network, interfaceName)),
  };
}

/** Of several default routes the first network's is taken. */
function describe(network: Network, interfaceName: string): unknown {
  const mtu = network.options['com.docker.network.driver.mtu'];
  return {
    name: engineName(network),
    id: network.id,
    driver: 'bridge',
    network_interface: network.interface,
    subnets: network.subnets.map(({ subnet, gateway }) => ({ subnet, gateway })),
    ipv6_enabled: network.ipv6,
    internal: network.internal,
    dns_enabled: hasNames(network),
    ipam_options: { driver: 'host-local' },
    options: { isolate: 'true', metric: String(100 + Number(interfaceName.slice(3))), ...(mtu !== undefined && { mtu }) },
  };
}
