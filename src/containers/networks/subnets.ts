// Which subnets a network gets: those that were asked for, checked, or free ones, which meet neither another network nor what the host reaches.

import { createHash } from 'node:crypto';
import { TbuildError } from '../../base/errors.ts';
import {
  contains,
  formatAddress,
  formatSubnet,
  hostRange,
  meet,
  networkOf,
  parseAddress,
  parseSubnet,
  type Subnet,
} from './ip.ts';
import type { NetworkSubnet } from './network.ts';

export interface SubnetWishes {
  readonly subnets: readonly string[];
  readonly gateways: readonly string[];
  readonly ranges: readonly string[];
  readonly reserved: Readonly<Record<string, string>>;
  readonly ipv6: boolean;
}

/** Podman's pool, which docker leaves alone: 10.89.0.0/24 to 10.96.255.0/24. */
const POOL = { first: (10n << 24n) + (89n << 16n), count: 8 * 256, prefix: 24 };

/** Docker's words throughout (moby, libnetwork/network.go, daemon/libnetwork/ipamapi). */
export function subnetsFor(
  id: string,
  { subnets: texts, gateways, ranges, reserved, ipv6 }: SubnetWishes,
  { networks, host }: { readonly networks: readonly Subnet[]; readonly host: readonly Subnet[] },
): NetworkSubnet[] {
  const subnets = texts.map(readSubnet);
  for (const [at, subnet] of subnets.entries()) {
    if (![...networks, ...subnets.slice(0, at)].some((other) => meet(other, subnet))) continue;
    throw new TbuildError('network/overlap', 'invalid pool request: Pool overlaps with other one on this address space');
  }
  const has = (family: number) => subnets.some((subnet) => subnet.family === family);
  if (!has(4)) subnets.unshift(freeSubnet(id, [...networks, ...host]));
  if (ipv6 && !has(6)) subnets.push(uniqueLocal(id));
  if (!ipv6 && has(6)) throw bad('an IPv6 subnet goes with --ipv6');
  const wished = {
    gateways: gateways.map((text) => placed(text, readAddress(text), subnets, 'gateway')),
    ranges: ranges.map((text) => placed(text, readSubnet(text), subnets, 'ip-range')),
    reserved: Object.entries(reserved).map(([name, text]) => ({
      name,
      ...placed(text, readAddress(text), subnets, 'auxiliary address'),
    })),
  };
  return subnets.map((subnet) => describe(subnet, wished));
}

interface Placed {
  readonly text: string;
  readonly subnet: Subnet;
}

function describe(
  subnet: Subnet,
  wished: { gateways: readonly Placed[]; ranges: readonly Placed[]; reserved: readonly (Placed & { readonly name: string })[] },
): NetworkSubnet {
  const here = ({ subnet: other }: Placed) => other === subnet;
  const [gateway, ...more] = wished.gateways.filter(here);
  const [range, ...others] = wished.ranges.filter(here);
  if (more.length > 0) throw bad(`cannot configure multiple gateways on the same subnet ${formatSubnet(subnet)}`);
  if (others.length > 0) throw bad(`cannot configure multiple ranges on the same subnet ${formatSubnet(subnet)}`);
  const reserved = Object.fromEntries(wished.reserved.filter(here).map(({ name, text }) => [name, text]));
  // Of a range docker takes the first address for the gateway.
  const first = hostRange((range && parseSubnet(range.text)) ?? subnet).first;
  return {
    subnet: formatSubnet(subnet),
    gateway: gateway?.text ?? formatAddress({ family: subnet.family, value: first }),
    ...(range && { range: range.text }),
    ...(Object.keys(reserved).length > 0 && { reserved }),
  };
}

function placed(text: string, address: { family: 4 | 6; value: bigint }, subnets: readonly Subnet[], what: string): Placed {
  const subnet = subnets.find((one) => contains(one, address));
  if (subnet) return { text, subnet };
  throw bad(`no matching subnet for ${what} ${text}`);
}

function readSubnet(text: string): Subnet {
  const subnet = parseSubnet(text);
  if (!subnet) throw bad(`invalid subnet ${text}: invalid CIDR block notation`);
  const { first, last } = hostRange(subnet);
  // A gateway and one container at least.
  if (last - first < 1n) throw bad(`invalid subnet ${text}: it has no room for a gateway and a container`);
  if (networkOf(subnet).value === subnet.value) return subnet;
  throw bad(`invalid subnet ${text}: it should be ${formatSubnet(networkOf(subnet))}`);
}

function readAddress(text: string) {
  const address = parseAddress(text);
  if (address) return address;
  throw bad(`invalid address ${text}`);
}

const bad = (message: string) => new TbuildError('network/bad-subnet', message);

/** Where the search begins depends on the ID, so that two stores that choose at one moment take different ones. */
function freeSubnet(id: string, taken: readonly Subnet[]): Subnet {
  const from = Number.parseInt(id.slice(0, 8), 16);
  for (let step = 0; step < POOL.count; step++) {
    const value = POOL.first + BigInt(((from + step) % POOL.count) * 256);
    const subnet: Subnet = { family: 4, value, prefix: POOL.prefix };
    if (!taken.some((other) => meet(other, subnet))) return subnet;
  }
  throw new TbuildError('network/no-subnet', 'all predefined address pools have been fully subnetted', {
    hint: 'remove networks that nobody uses (tbuild network prune), or choose a subnet with --subnet',
  });
}

/** RFC 4193: fd and forty bits that nobody else has. */
function uniqueLocal(id: string): Subnet {
  const global = createHash('sha256').update(id).digest('hex').slice(0, 10);
  return { family: 6, value: BigInt(`0xfd${global}`) << 80n, prefix: 64 };
}
