// What the host can reach already: a subnet of ours must not meet it, or what is there would be lost to the host. Only reads, from /proc and resolv.conf.

import { readFileSync } from 'node:fs';
import { parseAddress, type Subnet } from './ip.ts';

/** Without the default routes, and those over interfaces that are `own`. */
export function hostRoutes(own: ReadonlySet<string> = new Set()): Subnet[] {
  return [...routes4(read('/proc/net/route'), own), ...routes6(read('/proc/net/ipv6_route'), own), ...nameServers()];
}

/** Lines of `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, numbers in the machine's order: of little ends, as every one that we run on. */
function routes4(text: string, own: ReadonlySet<string>): Subnet[] {
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .filter(([name, , , , , , , mask]) => name && mask && mask !== '00000000' && !own.has(name))
    .map(([, destination = '', , , , , , mask = '']) => ({
      family: 4,
      value: BigInt(swapped(destination)),
      prefix: swapped(mask).toString(2).replace(/0/g, '').length,
    }));
}

const swapped = (hex: string): number => Buffer.from(hex, 'hex').readUInt32LE();

/** Lines of `destination prefix source prefix gateway metric refs uses flags interface`. Link-local ones are everywhere, and meet nothing. */
function routes6(text: string, own: ReadonlySet<string>): Subnet[] {
  return text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields.length === 10 && fields[1] !== '00' && !own.has(fields[9] as string) && fields[9] !== 'lo')
    .map(([destination, prefix]) => ({
      family: 6,
      value: BigInt(`0x${destination}`),
      prefix: Number.parseInt(prefix as string, 16),
    }));
}

/** They may be behind the default route, and must stay reachable. */
function nameServers(): Subnet[] {
  const addresses = [...read('/etc/resolv.conf').matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, text]) =>
    parseAddress(text as string),
  );
  return addresses.flatMap((address) => (address ? { ...address, prefix: address.family === 4 ? 32 : 128 } : []));
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // No IPv6 in this kernel; no /proc/net.
  }
}
