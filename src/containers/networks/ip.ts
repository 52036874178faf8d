// Addresses and subnets of both families as numbers: what is in what, and what meets what. Pure; takes text from anybody.

import { isIP } from 'node:net';

export type Family = 4 | 6;

export interface Address {
  readonly family: Family;
  readonly value: bigint;
}

export interface Subnet extends Address {
  readonly prefix: number;
}

export const bitsOf = (family: Family): number => (family === 4 ? 32 : 128);

/** Undefined: it is none. An IPv6 zone is none of an address. */
export function parseAddress(text: string): Address | undefined {
  const family = isIP(text);
  if (family === 4) return { family, value: joined(text.split('.').map(Number), 8) };
  if (family !== 6 || text.includes('%')) return undefined;
  return { family, value: joined(groupsOf(text), 16) };
}

function joined(parts: readonly number[], bits: number): bigint {
  return parts.reduce((value, part) => (value << BigInt(bits)) | BigInt(part), 0n);
}

function groupsOf(text: string): number[] {
  const dotted = /^(.*:)([\d.]+\.[\d.]+)$/.exec(text);
  const v4 = dotted ? joined(dotted[2]!.split('.').map(Number), 8) : 0n;
  const plain = dotted ? `${dotted[1]}${(v4 >> 16n).toString(16)}:${(v4 & 0xffffn).toString(16)}` : text;
  const [left = '', right] = plain.split('::');
  const numbers = (side: string) => (side === '' ? [] : side.split(':').map((group) => Number.parseInt(group, 16)));
  const [before, after] = [numbers(left), numbers(right ?? '')];
  return right === undefined ? before : [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after];
}

/** IPv6 as RFC 5952 has it. */
export function formatAddress({ family, value }: Address): string {
  const count = family === 4 ? 4 : 8;
  const bits = family === 4 ? 8n : 16n;
  const parts = Array.from({ length: count }, (_, at) => (value >> (bits * BigInt(count - 1 - at))) & ((1n << bits) - 1n));
  if (family === 4) return parts.join('.');
  return new URL(`http://[${parts.map((part) => part.toString(16)).join(':')}]`).hostname.slice(1, -1);
}

/** `10.0.0.0/8`. The bits behind the prefix are kept: `networkOf` has none. */
export function parseSubnet(text: string): Subnet | undefined {
  const match = /^(?<address>[^/]+)\/(?<prefix>\d{1,3})$/.exec(text);
  const address = parseAddress(match?.groups?.address ?? '');
  const prefix = Number(match?.groups?.prefix);
  return address && prefix <= bitsOf(address.family) ? { ...address, prefix } : undefined;
}

export const formatSubnet = (subnet: Subnet): string => `${formatAddress(subnet)}/${subnet.prefix}`;

export const sizeOf = ({ family, prefix }: Subnet): bigint => 1n << BigInt(bitsOf(family) - prefix);

export function networkOf(subnet: Subnet): Subnet {
  return { ...subnet, value: subnet.value - (subnet.value % sizeOf(subnet)) };
}

export function contains(subnet: Subnet, { family, value }: Address): boolean {
  const { value: first } = networkOf(subnet);
  return family === subnet.family && value >= first && value < first + sizeOf(subnet);
}

export function meet(a: Subnet, b: Subnet): boolean {
  return a.prefix <= b.prefix ? contains(a, b) : contains(b, a);
}

/** The addresses that a machine can have: without the subnet's own and, of IPv4, the one for all. */
export function hostRange(subnet: Subnet): { readonly first: bigint; readonly last: bigint } {
  const { value, family } = networkOf(subnet);
  const end = value + sizeOf(subnet) - 1n;
  return { first: value + 1n, last: family === 4 ? end - 1n : end };
}
