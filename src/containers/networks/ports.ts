// Ports of the host that lead to a container. What is asked for is checked against other containers and the host's own programs before anything is made;
// the monitor then holds them. Free ones are chosen as docker chooses them: in the range that the kernel too takes from, one after another.

import { readFileSync } from 'node:fs';
import { TbuildError } from '../../base/errors.ts';
import type { Store } from '../../base/store.ts';
import type { ContainerSpec, PortMapping } from '../spec.ts';
import { formatAddress } from './ip.ts';

/** A port of the host, settled. */
export type PublishedPort = Omit<PortMapping, 'hostPortEnd'>;

interface Taken {
  readonly address: string;
  readonly port: number;
  readonly protocol: string;
}

/** Inside a transaction. `of`: of the container, for what is said. Throws `network/port-taken`. */
export function takePorts(
  { db }: Store,
  of: { readonly id: string; readonly name: string; readonly spec: ContainerSpec },
): PublishedPort[] {
  const wanted = wantedPorts(of.spec);
  const had = db.all<Taken>('SELECT address, port, protocol FROM ports WHERE container = ?', of.id);
  db.run('DELETE FROM ports WHERE container = ?', of.id);
  if (wanted.length === 0) return [];
  const containers = db.all<Taken>('SELECT address, port, protocol FROM ports');
  const listening = new Listening();
  // Those that were said exactly come first: none of them is to be chosen for another.
  const chosen = new Map<PortMapping, PublishedPort>();
  for (const mapping of [...wanted].sort((a, b) => Number(a.hostPort === 0) - Number(b.hostPort === 0))) {
    const port = choosePort(mapping, { containers, listening, had, of });
    containers.push({ address: mapping.hostAddress, port, protocol: mapping.protocol });
    const sql = 'INSERT INTO ports (container, address, port, protocol, starter, since) VALUES (?, ?, ?, ?, ?, ?)';
    db.run(sql, of.id, mapping.hostAddress, port, mapping.protocol, process.pid, Date.now());
    const { hostPortEnd: _end, ...rest } = mapping;
    chosen.set(mapping, { ...rest, hostPort: port });
  }
  return wanted.map((mapping) => chosen.get(mapping) as PublishedPort);
}

/** What -p says, and of -P what is exposed and not published. */
export function wantedPorts({ ports, publishAll, exposed }: ContainerSpec): readonly PortMapping[] {
  if (!publishAll) return ports;
  const has = new Set(ports.map(({ containerPort, protocol }) => `${containerPort}/${protocol}`));
  const more = exposed
    .filter((one) => !has.has(one))
    .map((one): PortMapping => {
      const [port, protocol = 'tcp'] = one.split('/');
      return { hostAddress: '', hostPort: 0, containerPort: Number(port), protocol: protocol as PortMapping['protocol'] };
    });
  return [...ports, ...more];
}

interface Situation {
  readonly containers: readonly Taken[];
  readonly listening: Listening;
  readonly had: readonly Taken[];
  readonly of: { readonly id: string; readonly name: string };
}

function choosePort(mapping: PortMapping, { containers, listening, had, of }: Situation): number {
  const { hostAddress: address, protocol, hostPort } = mapping;
  const isAllocated = (port: number) => containers.some((other) => clash(other, { address, port, protocol }));
  const isFree = (port: number) => !isAllocated(port) && !listening.has({ address, port, protocol });
  const candidates = hostPort === 0 ? freeRange(had, mapping) : from(hostPort, mapping.hostPortEnd ?? hostPort);
  for (const port of candidates) if (isFree(port)) return port;
  const shown = `${bracketed(address || '0.0.0.0')}:${hostPort}`;
  const why = isAllocated(hostPort)
    ? `Bind for ${shown} failed: port is already allocated`
    : `failed to bind host port ${shown}/${protocol}: address already in use`;
  throw new TbuildError(
    'network/port-taken',
    `failed to set up container networking: driver failed programming external connectivity on endpoint ${of.name} (${of.id}): ${why}`,
  );
}

const bracketed = (address: string) => (address.includes(':') ? `[${address}]` : address);

function* from(first: number, last: number): Generator<number> {
  for (let port = first; port <= last; port++) yield port;
}

/** One that it had before comes first. */
function* freeRange(had: readonly Taken[], { hostAddress, protocol }: PortMapping): Generator<number> {
  for (const one of had) if (one.address === hostAddress && one.protocol === protocol) yield one.port;
  const [first = 32_768, last = 60_999] = read('/proc/sys/net/ipv4/ip_local_port_range').trim().split(/\s+/).map(Number);
  yield* from(first, last);
}

function clash(a: Taken, b: Taken): boolean {
  return a.port === b.port && a.protocol === b.protocol && (isEvery(a.address) || isEvery(b.address) || a.address === b.address);
}

const isEvery = (address: string) => address === '' || address === '0.0.0.0' || address === '::';

/** Sockets of the host that take what comes to a port (proc_net_tcp(5)): those of tcp that listen, all of udp. Read once. */
class Listening {
  readonly #byProtocol = new Map<string, Taken[]>();

  has(wanted: Taken): boolean {
    return this.#of(wanted.protocol).some((socket) => clash(socket, wanted));
  }

  #of(protocol: string): readonly Taken[] {
    let sockets = this.#byProtocol.get(protocol);
    if (!sockets) {
      const files = protocol === 'sctp' ? [] : [`/proc/net/${protocol}`, `/proc/net/${protocol}6`];
      sockets = files.flatMap((file) => socketsIn(read(file), protocol));
      this.#byProtocol.set(protocol, sockets);
    }
    return sockets;
  }
}

const TCP_LISTEN = '0A';

function socketsIn(text: string, protocol: string): Taken[] {
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => local !== undefined && (protocol !== 'tcp' || state === TCP_LISTEN))
    .map(([, local = '']) => {
      const [address = '', port = ''] = local.split(':');
      return { address: addressOf(address), port: Number.parseInt(port, 16), protocol };
    });
}

/** In words of 32 bits, in the machine's order. */
function addressOf(hex: string): string {
  const words = hex.match(/.{8}/g) ?? [];
  const value = BigInt(`0x${words.map((word) => Buffer.from(word, 'hex').reverse().toString('hex')).join('')}`);
  const address = formatAddress({ family: words.length === 1 ? 4 : 6, value });
  const mapped = /^::ffff:([\da-f]+):([\da-f]+)$/.exec(address);
  return mapped ? formatAddress({ family: 4, value: value & 0xffffffffn }) : address;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // No IPv6 in this kernel.
  }
}
