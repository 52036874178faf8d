// /etc/hosts and /etc/resolv.conf of a container on networks of its own, in docker's form (moby, libnetwork/etchosts and libnetwork/resolvconf).

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import type { Container } from '../containers.ts';
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

export interface NetworkFiles {
  readonly hosts: string;
  readonly resolvConf: string;
}

export function networkFilesOf(directory: string): NetworkFiles {
  const path = (name: string) => join(directory, 'files', name);
  return { hosts: path('hosts'), resolvConf: path('resolv.conf') };
}

/** In the container's directory: they are mounted where it has them, and follow what it joins and leaves. */
export function writeNetworkFiles(
  { id, spec, directory }: Pick<Container, 'id' | 'spec' | 'directory'>,
  endpoints: readonly Endpoint[],
): NetworkFiles {
  const files = networkFilesOf(directory);
  mkdirSync(join(directory, 'files'), { recursive: true, mode: 0o700 });
  const resolver = endpoints.find(({ network }) => hasNames(network))?.network.subnets[0]?.gateway;
  writeFileSync(files.hosts, text(hostsLines(spec, spec.hostname || id.slice(0, 12), endpoints)), { mode: 0o644 });
  writeFileSync(files.resolvConf, text(resolvConfLines(spec.dns, resolver)), { mode: 0o644 });
  return files;
}

const text = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join('');

function hostsLines({ extraHosts, domainname }: ContainerSpec, hostname: string, endpoints: readonly Endpoint[]): string[] {
  const gateway = endpoints[0]?.network.subnets[0]?.gateway ?? '127.0.0.1';
  const added = extraHosts.map((line) => {
    const at = line.indexOf(':');
    const address = line.slice(at + 1);
    return `${address === 'host-gateway' ? gateway : address}\t${line.slice(0, at)}`;
  });
  const whole = domainname === '' ? hostname : `${hostname}.${domainname} ${hostname}`;
  const own = endpoints.flatMap(({ addresses }) => addresses.map((address) => `${address}\t${whole}`));
  return [...DEFAULT_HOSTS, ...added, ...own];
}

/** `resolver`: aardvark-dns, which asks the others itself. What is not said is the host's. */
function resolvConfLines({ servers, search, options }: ContainerSpec['dns'], resolver?: string): string[] {
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
