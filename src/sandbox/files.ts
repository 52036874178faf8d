// Files that a container sees and no layer holds: /etc/hosts, /etc/resolv.conf, secrets, heredoc scripts.
// They live on the container's private tmpfs and go with it; a container may write to those that are not read-only, and nothing of it stays.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RootSpec } from '../native/with-root.ts';
import type { Mount } from './container-config.ts';
import type { Network } from './network.ts';

export interface SandboxFile {
  /** Unique in its container: the file's name on the tmpfs. */
  readonly name: string;
  /** Absolute, in the container. */
  readonly destination: string;
  readonly content: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly readonly: boolean;
}

/** `--add-host` */
export interface ExtraHost {
  readonly name: string;
  readonly address: string;
}

/** `--dns`, `--dns-search`, `--dns-option`: empty lists leave it as it would be. A search for `.` is none. */
export interface Dns {
  readonly servers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

const LOOPBACK = ['127.0.0.1\tlocalhost', '::1\tlocalhost ip6-localhost ip6-loopback', ''].join('\n');

/** Where a network of the container's own cannot be had, it is on the host's: these are for that. */
export function hostFiles(network: Network, hostname: string, extraHosts: readonly ExtraHost[] = [], dns?: Dns): SandboxFile[] {
  return networkFiles(network === 'own' ? 'host' : network, hostname, extraHosts, dns);
}

/** What it has in their place where it could be had. */
export function filesOfOwnNetwork(
  network: Network,
  hostname: string,
  extraHosts: readonly ExtraHost[] = [],
  dns?: Dns,
): Pick<RootSpec, 'ownNetwork'> {
  return network === 'own' ? { ownNetwork: encoded(networkFiles(network, hostname, extraHosts, dns)) } : {};
}

/** On the host's network its hosts and resolv.conf are the ones that work. */
function networkFiles(network: Network, hostname: string, extraHosts: readonly ExtraHost[], dns?: Dns): SandboxFile[] {
  const hosts = network === 'host' ? readIfPresent('/etc/hosts') : LOOPBACK;
  const file = (name: string, content: string): SandboxFile => ({
    name,
    destination: `/etc/${name}`,
    content: Buffer.from(content),
    mode: 0o644,
    uid: 0,
    gid: 0,
    readonly: false,
  });
  const added = [{ address: '127.0.0.1', name: hostname }, ...extraHosts].map(({ address, name }) => `${address}\t${name}\n`);
  return [file('hosts', `${hosts.trimEnd()}\n${added.join('')}`), file('resolv.conf', withDns(resolvConf(network), dns))];
}

/** Where slirp4netns answers for the host's name servers, and pasta is told to (own_network.rs of tbuild-runner). */
const OWN_DNS = '10.0.2.3';

function resolvConf(network: Network): string {
  if (network === 'none') return '';
  const host = readIfPresent('/etc/resolv.conf');
  if (network === 'host') return host;
  const others = host.split('\n').filter((line) => /^\s*(?:search|domain|options)\s/.test(line));
  return [...others, `nameserver ${OWN_DNS}`, ''].join('\n');
}

/** What is given takes the place of all lines of its kind (moby: libnetwork, resolvconf). */
export function withDns(text: string, dns?: Dns): string {
  const { servers = [], search = [], options = [] } = dns ?? {};
  const given: [kind: RegExp, lines: string[]][] = [
    [/^\s*nameserver\s/, servers.map((server) => `nameserver ${server}`)],
    [/^\s*(?:search|domain)\s/, search.length === 0 ? [] : search.includes('.') ? [''] : [`search ${search.join(' ')}`]],
    [/^\s*options\s/, options.length === 0 ? [] : [`options ${options.join(' ')}`]],
  ];
  const replaced = given.filter(([, lines]) => lines.length > 0);
  if (replaced.length === 0) return text;
  const kept = text.split('\n').filter((line) => line !== '' && !replaced.some(([kind]) => kind.test(line)));
  const added = replaced.flatMap(([, lines]) => lines).filter((line) => line !== '');
  return [...kept, ...added].map((line) => `${line}\n`).join('');
}

function readIfPresent(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // A host without the file has containers with an empty one.
  }
}

/** The files as with-root writes them below `scratch`, and the mounts that bring them into the container. */
export function placeFiles(scratch: string, files: readonly SandboxFile[]): { files: RootSpec['files']; mounts: Mount[] } {
  return {
    files: encoded(files),
    mounts: files.map(({ name, destination, readonly }) => ({
      destination,
      type: 'bind',
      source: join(scratch, 'files', name),
      options: readonly ? ['bind', 'ro', 'nosuid', 'nodev'] : ['bind', 'nosuid', 'nodev'],
    })),
  };
}

function encoded(files: readonly SandboxFile[]): RootSpec['files'] {
  return files.map(({ name, mode, uid, gid, content }) => ({ name, mode, uid, gid, data: content.toString('base64') }));
}
