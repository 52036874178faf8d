// Which proxy a request goes through: the environment's variables as Go's programs read them (golang.org/x/net/http/httpproxy), so that what works
// for docker works here. Names in lower case win. Pure.

import { BlockList, isIP } from 'node:net';

type Environment = Readonly<Record<string, string | undefined>>;

/** Its URL; undefined: straight there, as always to this machine itself. */
export function proxyFor(url: URL, env: Environment): string | undefined {
  const variable = (name: string) => env[name] || env[name.toUpperCase()] || undefined;
  const proxy = variable(url.protocol === 'https:' ? 'https_proxy' : 'http_proxy') ?? variable('all_proxy');
  if (proxy === undefined) return undefined;
  const host = hostOf(url);
  if (isLoopback(host)) return undefined;
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  const excluded = (variable('no_proxy') ?? '').split(/[\s,]+/).filter((entry) => entry !== '');
  if (excluded.some((entry) => covers(entry.toLowerCase(), host, port))) return undefined;
  return proxy.includes('://') ? proxy : `http://${proxy}`;
}

/** Without the brackets of an IPv6 address, or the dot that a name may end in. */
export const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');

/** `host` has no port and no brackets. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** `example.com` and what is below it; `.example.com` only what is below; `10.0.0.0/8`; each but the last perhaps with a port. */
function covers(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  const [, range, prefix] = /^([0-9a-f.:]+)\/(\d+)$/.exec(entry) ?? [];
  if (range !== undefined) return isWithin(range, Number(prefix), host);
  const [name, entryPort] = splitPort(entry);
  if (name === '' || (entryPort !== undefined && entryPort !== port)) return false;
  const below = name.replace(/^\*\./, '.');
  if (below.startsWith('.')) return host.endsWith(below);
  return host === below || (isIP(host) === 0 && host.endsWith(`.${below}`));
}

/** An IPv6 address has a port only behind brackets. */
function splitPort(entry: string): [name: string, port: string | undefined] {
  const [, address, behind] = /^\[([^\]]*)\](?::(\d+))?$/.exec(entry) ?? [];
  if (address !== undefined) return [address, behind];
  const parts = entry.split(':');
  return parts.length === 2 ? [parts[0] as string, parts[1]] : [entry, undefined];
}

function isWithin(range: string, prefix: number, host: string): boolean {
  const family = isIP(range);
  if (family === 0 || isIP(host) !== family || prefix > (family === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  const kind = family === 4 ? 'ipv4' : 'ipv6';
  list.addSubnet(range, prefix, kind);
  return list.check(host, kind);
}
