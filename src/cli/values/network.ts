// --network and what goes with it: names, addresses, name servers, hosts (docker/cli: opts/network.go, opts/hosts.go, opts/opts.go).

import { isIP, isIPv4 } from 'node:net';
import type { CreateOptions, NetworkRequest } from '../../containers/create-options.ts';
import type { NetworkAttachment } from '../../containers/spec.ts';
import { readRecord } from '../../dockerfile/csv.ts';
import { badArgument, badValue, conflict } from './bad-argument.ts';

interface NetworkFlags {
  readonly network: readonly string[];
  readonly 'network-alias': readonly string[];
  readonly ip: string | undefined;
  readonly ip6: string | undefined;
  readonly 'mac-address': string | undefined;
}

export function parseNetwork(flags: NetworkFlags): NetworkRequest {
  const mac = flags['mac-address'];
  if (mac !== undefined && mac !== '' && !isMac(mac)) throw badValue(`${mac} is not a valid mac address`);
  if (flags.ip6 !== undefined && flags.ip6 !== '')
    throw badArgument('--ip6', flags.ip6, 'networks have no IPv6 addresses that can be asked for');
  const asked = flags.network.map(parseAttachment);
  const modes = asked.map(({ network }) => network);
  const repeated = modes.find((name, at) => modes.indexOf(name) !== at);
  if (repeated !== undefined) throw badValue(`network "${repeated}" is specified multiple times`);
  if (modes.some(isUserDefined) && !modes.every(isUserDefined))
    throw conflict('cannot attach both user-defined and non-user-defined network-modes');
  if (asked.length > 1 && !isUserDefined(modes[0] as string)) throw conflict('only one network-mode can be had');
  const [first = { network: 'default', aliases: [] }, ...others] = asked;
  const main = withFlags(first, flags);
  if (!isUserDefined(main.network) && main.aliases.length > 0)
    throw badValue('network-scoped aliases are only supported for user-defined networks');
  if (!isUserDefined(main.network) && main.address !== undefined && !main.network.startsWith('container:')) {
    throw badValue(
      `invalid config for network ${main.network}: user specified IP address is supported only when connecting to networks with user configured subnets`,
    );
  }
  return requestOf(main, others);
}

function requestOf(main: NetworkAttachment, others: readonly NetworkAttachment[]): NetworkRequest {
  const { network, ...attachment } = main;
  if (network === 'default') return { mode: 'default', attachment };
  if (network === 'host' || network === 'none') {
    if (attachment.mac !== undefined) throw conflict('mac-address and the network mode');
    return { mode: network };
  }
  if (network.startsWith('container:')) {
    const container = network.slice('container:'.length);
    if (container === '') throw badValue('invalid container format container:<name|id>');
    if (attachment.mac !== undefined) throw conflict('mac-address and the network mode');
    return { mode: 'container', container };
  }
  return { mode: 'bridge', networks: [main, ...others] };
}

const isUserDefined = (name: string) => !['default', 'bridge', 'host', 'none'].includes(name) && !name.startsWith('container:');

/** What the flags of the first network say, and what its own fields say, is said once. */
function withFlags(first: NetworkAttachment, flags: NetworkFlags): NetworkAttachment {
  const [ip, mac] = [flags.ip || undefined, flags['mac-address'] || undefined];
  const aliases = flags['network-alias'];
  if (first.aliases.length > 0 && aliases.length > 0) throw conflict('cannot specify both --network-alias and per-network alias');
  if (first.address !== undefined && ip !== undefined) throw conflict('cannot specify both --ip and per-network IPv4 address');
  if (first.mac !== undefined && mac !== undefined)
    throw conflict('cannot specify both --mac-address and per-network MAC address');
  if (ip !== undefined && !isIPv4(ip)) throw badArgument('--ip', ip, `invalid IPv4 address: ${ip}`);
  return { ...first, aliases: [...first.aliases, ...aliases], ...(ip && { address: ip }), ...(mac && { mac }) };
}

/** A name, or `name=NAME,alias=A,ip=…,mac-address=…`. */
function parseAttachment(text: string): NetworkAttachment {
  const bad = (why: string) => badArgument('--network', text, why);
  if (!text.includes('=')) {
    if (text.trim() === '') throw badValue('no name set for network');
    return { network: text, aliases: [] };
  }
  const attachment: { network: string; aliases: string[]; address?: string; mac?: string } = { network: '', aliases: [] };
  for (const { text: field } of readRecord(text, (at) => bad(`a stray quote in field ${at}`))) {
    const at = field.indexOf('=');
    const [key, value] = [field.slice(0, Math.max(at, 0)).trim().toLowerCase(), field.slice(at + 1).trim()];
    if (key === '') throw bad(`invalid field ${field}`);
    if (key === 'name') attachment.network = value;
    else if (key === 'alias') attachment.aliases.push(value);
    else if (key === 'ip' && isIPv4(value)) attachment.address = value;
    else if (key === 'mac-address' && isMac(value)) attachment.mac = value;
    else if (key === 'ip' || key === 'mac-address') throw bad(`invalid value for ${key}: ${value}`);
    else throw bad(`invalid field key ${key}`);
  }
  if (attachment.network === '') throw bad('network name/id is not specified');
  return attachment;
}

const isMac = (text: string) => /^[0-9a-f]{2}(?:([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4})$/i.test(text);

export function parseDns(
  servers: readonly string[],
  search: readonly string[],
  options: readonly string[],
): CreateOptions['dns'] {
  for (const server of servers) {
    if (isIP(server) === 0) throw badArgument('--dns', server, `IP address is not correctly formatted: ${server}`);
  }
  for (const domain of search) {
    // '.' means none.
    if (domain !== '.' && !/^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*\.?$/i.test(domain))
      throw badArgument('--dns-search', domain, `${domain} is not a valid domain`);
  }
  // They become words of a line of resolv.conf.
  for (const option of options) {
    if (!/^[^\s#;]+$/.test(option)) throw badArgument('--dns-option', option, 'it is not one word');
  }
  return { servers: [...servers], search: [...search], options: [...options] };
}

/** `name:address` or `name=address`, IPv6 also in brackets; `host-gateway` stays as it is. Returned as `name:address`. */
export function parseAddedHost(text: string): string {
  const at = text.includes('=') ? text.indexOf('=') : text.indexOf(':');
  const [name, written] = [text.slice(0, Math.max(at, 0)), text.slice(at + 1)];
  // It becomes a line of /etc/hosts.
  if (name === '' || /[\s#]/.test(name))
    throw badArgument('--add-host', text, `bad format for add-host: ${JSON.stringify(text)}`);
  const address = /^\[(.+)\]$/.exec(written)?.[1] ?? written;
  if (address !== 'host-gateway' && isIP(address) === 0)
    throw badArgument('--add-host', text, `invalid IP address in add-host: ${JSON.stringify(written)}`);
  return `${name}:${address}`;
}
