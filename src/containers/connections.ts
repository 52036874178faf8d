// What a container is connected to while it runs: its addresses on networks, and the ports of the host that lead to it. From what its monitor was
// told for the network's engine (netavark) and what that answered. Reads only; what it does not understand is left out.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Container } from './containers.ts';
import { nameOfEngine } from './networks/network.ts';
import type { PortMapping } from './spec.ts';
import { type ContainerState, isUp } from './state.ts';

export interface Connections {
  readonly networks: readonly NetworkEndpoint[];
  /** With the ports that were really taken; empty where nothing runs. */
  readonly published: readonly PortMapping[];
}

export interface NetworkEndpoint {
  readonly network: string;
  readonly aliases: readonly string[];
  /** These are `''` and 0 where nothing runs, or there is none. */
  readonly address: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly mac: string;
}

export function connectionsOf({ directory, spec }: Container, state: ContainerState): Connections {
  const hasProcess = isUp(state.status);
  const { mode, networks } = spec.network;
  const attachments = mode === 'bridge' ? networks : mode === 'container' ? [] : [{ network: mode, aliases: [] }];
  return {
    networks: attachments.map(({ network, aliases }) => ({
      network,
      aliases,
      ...addressOf(hasProcess ? state.network : undefined, network),
    })),
    published: hasProcess && mode === 'bridge' ? publishedPorts(directory, spec.ports, spec.publishAll) : [],
  };
}

type Address = Omit<NetworkEndpoint, 'network' | 'aliases'>;

/** netavark's StatusBlock of each network: interfaces with their subnets. */
interface StatusBlock {
  readonly interfaces?: Readonly<Record<string, NetInterface>>;
}

interface NetInterface {
  readonly mac_address?: string;
  readonly subnets?: readonly { readonly ipnet?: string; readonly gateway?: string }[];
}

function addressOf(answers: unknown, network: string): Address {
  const blocks = Object.entries((answers ?? {}) as Readonly<Record<string, StatusBlock>>);
  const block = blocks.find(([engine]) => nameOfEngine(engine) === network)?.[1];
  const [link] = Object.values(block?.interfaces ?? {});
  const subnet = link?.subnets?.find(({ ipnet }) => ipnet?.includes('.')) ?? link?.subnets?.[0];
  const [address = '', prefix = '0'] = (subnet?.ipnet ?? '').split('/');
  return { address, prefixLength: Number(prefix) || 0, gateway: subnet?.gateway ?? '', mac: link?.mac_address ?? '' };
}

/** netavark's PortMapping: `range` ports from both on. */
interface EnginePort {
  readonly container_port: number;
  readonly host_port: number;
  readonly host_ip?: string;
  readonly protocol: PortMapping['protocol'];
  readonly range?: number;
}

/** A port that any free one of the host leads to is in what the monitor was told. */
function publishedPorts(directory: string, asked: readonly PortMapping[], publishAll: boolean): readonly PortMapping[] {
  if (!publishAll && asked.every(({ hostPort, hostPortEnd }) => hostPort > 0 && hostPortEnd === undefined)) return asked;
  return readEnginePorts(directory).flatMap(({ container_port, host_port, host_ip, protocol, range }) =>
    Array.from({ length: Math.max(1, Math.min(range ?? 1, 65_535)) }, (_, at) => ({
      hostAddress: host_ip ?? '',
      hostPort: host_port + at,
      containerPort: container_port + at,
      protocol,
    })),
  );
}

function readEnginePorts(directory: string): readonly EnginePort[] {
  try {
    const { network } = JSON.parse(readFileSync(join(directory, 'monitor.json'), 'utf8')) as {
      readonly network: { readonly options: { readonly port_mappings?: readonly EnginePort[] } } | null;
    };
    return network?.options.port_mappings ?? [];
  } catch {
    return []; // It went at this moment.
  }
}
