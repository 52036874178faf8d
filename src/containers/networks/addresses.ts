// Which container has which address and which port of the host: given in a transaction, never twice, and free again when their container does not run.
// A row is held by the container's monitor; before there is one, by the process that starts it (`starter`).

import { existsSync } from 'node:fs';
import type { Database } from '../../base/database.ts';
import { TbuildError } from '../../base/errors.ts';
import type { Store } from '../../base/store.ts';
import type { NetworkAttachment } from '../spec.ts';
import { type HeldLocks, heldLocks, readState } from '../state.ts';
import { contains, formatAddress, hostRange, parseAddress, parseSubnet, type Subnet } from './ip.ts';
import type { Network, NetworkSubnet } from './network.ts';

export interface Endpoint {
  readonly network: Network;
  /** One of each subnet. */
  readonly addresses: readonly string[];
  readonly mac: string;
}

interface Row {
  readonly container: string;
  readonly starter: number;
  readonly since: number;
}

/** What is held by no container that runs, and by no start, goes. Inside a transaction. */
export function freeWhatIsLeft(store: Store, except: string): void {
  const { db } = store;
  const columns = 'SELECT DISTINCT container, starter, since FROM';
  const rows = db.all<Row>(`${columns} addresses UNION ${columns} ports`).filter(({ container }) => container !== except);
  if (rows.length === 0) return;
  const locks = heldLocks();
  const held = new Set(rows.filter((row) => isHeld(store, row, locks)).map(({ container }) => container));
  for (const { container } of rows) if (!held.has(container)) freeAll(db, container);
}

function isHeld(store: Store, { container, starter, since }: Row, locks: HeldLocks): boolean {
  const { isAbandoned, status, startedAt } = readState(store.path('containers', container), locks);
  // Rules and names of an abandoned one may still be there: `settle` comes first.
  if (isAbandoned || status === 'running' || status === 'paused' || status === 'restarting') return true;
  return startedAt < since && existsSync(`/proc/${starter}`);
}

export function freeAll(db: Database, container: string): void {
  db.run('DELETE FROM addresses WHERE container = ?', container);
  db.run('DELETE FROM ports WHERE container = ?', container);
}

/** Containers that have addresses of a network. */
export function holdersOf({ db }: Store, network: Network): { readonly container: string; readonly address: string }[] {
  return db.all('SELECT container, address FROM addresses WHERE network = ? ORDER BY rowid', network.id);
}

/** An address of each subnet: the one that it had, the one asked for, or the first that is free. Inside a transaction. */
export function takeAddresses(store: Store, network: Network, attachment: NetworkAttachment, container: string): Endpoint {
  const { db } = store;
  const rows = holdersOf(store, network);
  const had = rows.filter((row) => row.container === container).map(({ address }) => address);
  const taken = new Set(rows.filter((row) => row.container !== container).map(({ address }) => address));
  const wishes = attachment.address === undefined ? had : [attachment.address];
  assertWish(network, attachment.address, taken);
  const addresses = network.subnets.map((subnet) => chooseAddress(network, subnet, taken, wishes));
  db.run('DELETE FROM addresses WHERE network = ? AND container = ?', network.id, container);
  const sql = 'INSERT INTO addresses (network, address, container, starter, since) VALUES (?, ?, ?, ?, ?)';
  for (const address of addresses) db.run(sql, network.id, address, container, process.pid, Date.now());
  return { network, addresses, mac: attachment.mac?.replaceAll('-', ':').toLowerCase() ?? macOf(addresses[0] as string) };
}

export function dropAddresses({ db }: Store, network: Network, container: string): void {
  db.run('DELETE FROM addresses WHERE network = ? AND container = ?', network.id, container);
}

/** Docker's words (moby, daemon/container_operations.go, libnetwork/endpoint.go). */
function assertWish(network: Network, address: string | undefined, taken: ReadonlySet<string>): void {
  if (address === undefined) return;
  const subnets = network.subnets.map(parsed);
  const wish = parseAddress(address);
  if (!wish || !subnets.some((subnet) => contains(subnet, wish))) {
    throw new TbuildError(
      'network/bad-address',
      `invalid endpoint settings:\nno configured subnet or ip-range contain the IP address ${address}`,
    );
  }
  if (taken.has(address) || !isUsable(network.subnets, address)) {
    throw new TbuildError('network/address-taken', 'Address already in use', {
      hint: `${address} is another container's, or the network's own`,
    });
  }
}

function isUsable(subnets: readonly NetworkSubnet[], address: string): boolean {
  const wish = parseAddress(address)!;
  return subnets.some((subnet) => {
    const { first, last } = hostRange(parsed(subnet));
    return contains(parsed(subnet), wish) && wish.value >= first && wish.value <= last && !reservedOf(subnet).has(address);
  });
}

function chooseAddress(network: Network, subnet: NetworkSubnet, taken: ReadonlySet<string>, wishes: readonly string[]): string {
  const whole = parsed(subnet);
  const wish = wishes.find((address) => contains(whole, parseAddress(address)!));
  if (wish !== undefined && !taken.has(wish) && isUsable([subnet], wish)) return wish;
  const reserved = reservedOf(subnet);
  const { first, last } = subnet.range === undefined ? hostRange(whole) : rangeOf(parseSubnet(subnet.range)!, whole);
  // Of as many as are taken and one more, one is free.
  for (let value = first; value <= last; value++) {
    const address = formatAddress({ family: whole.family, value });
    if (!taken.has(address) && !reserved.has(address)) return address;
  }
  throw new TbuildError(
    'network/full',
    `no available IPv${whole.family} addresses on this network's address pools: ${network.name} (${network.id})`,
  );
}

/** All of an --ip-range but what is no machine's in the whole subnet. */
function rangeOf(range: Subnet, whole: Subnet): { first: bigint; last: bigint } {
  const bounds = hostRange(whole);
  const [first, last] = [range.value, range.value + (1n << BigInt((range.family === 4 ? 32 : 128) - range.prefix)) - 1n];
  return { first: first < bounds.first ? bounds.first : first, last: last > bounds.last ? bounds.last : last };
}

const parsed = ({ subnet }: NetworkSubnet): Subnet => parseSubnet(subnet)!;

const reservedOf = ({ gateway, reserved }: NetworkSubnet): ReadonlySet<string> =>
  new Set([gateway, ...Object.values(reserved ?? {})]);

/** Docker's old way: an address has the same one each time, so that nobody's table of neighbours has to learn it anew. */
function macOf(address: string): string {
  const { family, value } = parseAddress(address)!;
  const low = family === 4 ? value : value & 0xffffffffn;
  const bytes = [0x02, 0x42, ...[24n, 16n, 8n, 0n].map((shift) => Number((low >> shift) & 0xffn))];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
