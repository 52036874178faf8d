// /etc/hosts and /etc/resolv.conf of a container on networks of its own, in docker's form (moby, libnetwork/etchosts and libnetwork/resolvconf).

import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { SandboxFile } from '../../sandbox/files.ts';
import type { ContainerSpec } from '../spec.ts';
import type { Endpoint } from './addresses.ts';
import { hasNames } from './netavark.ts';

const DEFAULT_HOSTS = [
  '127.0.0.1\tlocalhost',
  '::1\tlocalhost ip6-localhost ip6-loopback',
  'fe00::\tip6-localnet',
  'ff00::\tip6-mcastprefix',
  'ff02::1\tip6-allnodes',
  'ff02::2\tip6-allrouters',
];

export const HOST_GATEWAY = 'host-gateway';

/** `gateway`: what `host-gateway` stands for. */
export function addedHosts(
  { extraHosts }: Pick<ContainerSpec, 'extraHosts'>,
  gateway: string,
): { name: string; address: string }[] {
  return extraHosts.map((text) => {
    const at = text.indexOf(':');
    const address = text.slice(at + 1);
    return { name: text.slice(0, at), address: address === HOST_GATEWAY ? gateway : address };
  });
}

export function filesOnNetworks(spec: ContainerSpec, hostname: string, endpoints: readonly Endpoint[]): SandboxFile[] {
  const gateway = endpoints[0]?.network.subnets[0]?.gateway ?? '127.0.0.1';
  const added = addedHosts(spec, gateway).map(({ name, address }) => `${address}\t${name}`);
  const whole = spec.domainname === '' ? hostname : `${hostname}.${spec.domainname} ${hostname}`;
  const own = endpoints.flatMap(({ addresses }) => addresses.map((address) => `${address}\t${whole}`));
  return [
    networkFile('hosts', [...DEFAULT_HOSTS, ...added, ...own]),
    networkFile(
      'resolv.conf',
      resolvConf(spec.dns, endpoints.find(({ network }) => hasNames(network))?.network.subnets[0]?.gateway),
    ),
  ];
}

export function networkFile(name: 'hosts' | 'resolv.conf', lines: readonly string[]): SandboxFile {
  const content = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  return { name, destination: `/etc/${name}`, content, mode: 0o644, uid: 0, gid: 0, readonly: false };
}

/** `resolver`: aardvark-dns, which asks the others itself. What is not said is the host's. */
export function resolvConf({ servers, search, options }: ContainerSpec['dns'], resolver?: string): string[] {
  const host = hostResolvConf();
  const nameservers = resolver === undefined ? (servers.length > 0 ? servers : host.servers) : [resolver];
  const domains = search.length > 0 ? search.filter((domain) => domain !== '.') : host.search;
  const wished = options.length > 0 ? options : host.options;
  return [
    ...nameservers.map((server) => `nameserver ${server}`),
    ...(domains.length > 0 ? [`search ${domains.join(' ')}`] : []),
    ...(wished.length > 0 ? [`options ${wished.join(' ')}`] : []),
  ];
}

/** Where the host's is systemd-resolved's stub, what is behind it; a server on the host's loopback is nobody in another network. */
function hostResolvConf() {
  const parsed = parse(read('/etc/resolv.conf'));
  const isStub = parsed.servers.length > 0 && parsed.servers.every(isLoopback);
  const { servers, search, options } = isStub ? parse(read('/run/systemd/resolve/resolv.conf')) : parsed;
  return { servers: servers.filter((server) => !isLoopback(server)), search, options };
}

const isLoopback = (address: string) => address.startsWith('127.') || address === '::1';

function parse(text: string) {
  const all = (word: string) =>
    [...text.matchAll(new RegExp(`^\\s*${word}\\s+(.*)$`, 'gm'))].map(([, rest]) => (rest as string).trim().split(/\s+/));
  return {
    servers: all('nameserver').flatMap(([server = '']) => (isIP(server) ? server : [])),
    search: all('(?:search|domain)').at(-1) ?? [],
    options: all('options').flat(),
  };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // A host without the file has containers that resolve nothing.
  }
}
