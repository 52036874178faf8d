// Containers as rows of `ps`: docker's columns and how each reads (docker/cli cli/command/formatter/container.go, moby container/state.go). Pure.

import type { ListedContainer } from '../../containers/listing.ts';
import type { ContainerSpec, PortMapping } from '../../containers/spec.ts';
import type { ContainerState } from '../../containers/state.ts';
import { quote } from '../../dockerfile/go-text.ts';
import { formatPlatform } from '../../oci/platform.ts';
import { familiarRepository, parseReference } from '../../oci/reference.ts';
import { cutToWidth } from '../text.ts';
import { formatDuration, formatSize, formatTime } from '../units.ts';
import { type Row, type RowFormat, Shown } from './row-format.ts';
import { shortId } from './table.ts';

const columns = ['ID', 'Image', 'Command', 'RunningFor', 'Status', 'Ports', 'Names'];

export function containerFormat(hasSizes: boolean): RowFormat {
  const shown = hasSizes ? [...columns, 'Size'] : columns;
  return { table: shown.map((name) => `{{.${name}}}`).join('\t'), headers };
}

const headers = {
  ID: 'CONTAINER ID',
  Names: 'NAMES',
  Image: 'IMAGE',
  Command: 'COMMAND',
  CreatedAt: 'CREATED AT',
  RunningFor: 'CREATED',
  Ports: 'PORTS',
  State: 'STATE',
  Status: 'STATUS',
  Size: 'SIZE',
  Labels: 'LABELS',
  Mounts: 'MOUNTS',
  LocalVolumes: 'LOCAL VOLUMES',
  Networks: 'NETWORKS',
  Platform: 'PLATFORM',
  HealthStatus: 'HEALTH STATUS',
  IPAddresses: 'IP ADDRESSES',
};

export interface RowOptions {
  readonly isWhole: boolean;
  readonly nowMs: number;
}

export function containerRow(listed: ListedContainer, { isWhole, nowMs }: RowOptions): Row {
  const { container, state, networks, published, size } = listed;
  const { spec } = container;
  const image = { name: listed.imageName, id: spec.image.id };
  const command = commandOf(spec);
  return {
    ID: isWhole ? container.id : container.id.slice(0, 12),
    Names: container.name,
    Image: isWhole ? image.name : shortImage(image),
    Command: quote(isWhole ? command : cutToWidth(command, 20)),
    CreatedAt: formatTime(container.created),
    RunningFor: ago(container.created, nowMs),
    Ports: portsText(spec.exposed, published, state),
    State: state.status,
    Status: statusText(state, nowMs),
    Size: sizeText(size),
    Labels: Object.entries(spec.labels)
      .map(([key, value]) => `${key}=${value}`)
      .sort()
      .join(','),
    Label: (key: unknown) => spec.labels[String(key)] ?? '',
    Mounts: mountNames(spec)
      .map((name) => (isWhole ? name : cutToWidth(name, 15)))
      .join(','),
    LocalVolumes: String(spec.mounts.filter(({ type }) => type === 'volume').length),
    Networks: networks.map(({ network }) => network).join(','),
    Platform: new Shown(formatPlatform(spec.platform), { architecture: spec.platform.architecture, os: spec.platform.os }),
    HealthStatus: state.health?.status ?? '',
    IPAddresses: networks
      .filter(({ address }) => address !== '')
      .map(({ network, address }) => new Shown(`${network}/${address}`, { Network: network, IP: address })),
  };
}

/** `Up 3 seconds (healthy)`. */
export function statusText(state: ContainerState, nowMs: number): string {
  const since = (timeMs: number) => formatDuration(Math.max(0, nowMs - timeMs));
  switch (state.status) {
    case 'created':
      return 'Created';
    case 'dead':
      return 'Dead';
    case 'paused':
      return `Up ${since(state.startedAt)} (Paused)`;
    case 'restarting':
      return `Restarting (${state.exitCode}) ${since(state.finishedAt)} ago`;
    case 'exited':
      return `Exited (${state.exitCode}) ${since(state.finishedAt)} ago`;
    case 'running':
      return `Up ${since(state.startedAt)}${healthText(state.health)}`;
  }
}

function healthText(health: ContainerState['health']): string {
  if (health === null) return '';
  return health.status === 'starting' ? ' (health: starting)' : ` (${health.status})`;
}

const ago = (timeMs: number, nowMs: number): string => `${formatDuration(Math.max(0, nowMs - timeMs))} ago`;

/** Path and arguments; those with blanks are quoted. */
export function commandOf({ entrypoint, cmd }: Pick<ContainerSpec, 'entrypoint' | 'cmd'>): string {
  const [path = '', ...args] = [...entrypoint, ...cmd];
  return [path, ...args.map((arg) => (arg.includes(' ') ? `'${arg}'` : arg))].join(' ');
}

/** As it was asked for, without a digest; of an image whose name is another's by now, the ID. */
function shortImage({ name, id }: ContainerSpec['image']): string {
  if (shortId(name) === shortId(id)) return shortId(id);
  try {
    const reference = parseReference(name);
    return familiarRepository(reference) + (reference.tag === undefined ? '' : `:${reference.tag}`);
  } catch {
    return name;
  }
}

function sizeText(size: ListedContainer['size']): string {
  if (size === undefined) return '0B';
  const written = formatSize(size.writtenBytes);
  return size.rootBytes > 0 ? `${written} (virtual ${formatSize(size.rootBytes)})` : written;
}

function mountNames({ mounts }: ContainerSpec): string[] {
  return mounts.flatMap((mount) => {
    if (mount.type === 'volume') return [mount.name];
    return mount.type === 'bind' ? [mount.source] : [];
  });
}

interface ShownPort {
  /** `''`: it is exposed only. */
  readonly address: string;
  readonly hostPort: number;
  readonly port: number;
  readonly protocol: string;
}

/** `0.0.0.0:8080->80/tcp, 9000/tcp`: neighbours of one kind as a range. Where nothing runs there are none. */
export function portsText(exposed: readonly string[], published: readonly PortMapping[], state: ContainerState): string {
  if (state.status !== 'running' && state.status !== 'paused') return '';
  const open = published.map(({ hostAddress, hostPort, containerPort, protocol }) => {
    return { address: hostAddress || '0.0.0.0', hostPort, port: containerPort, protocol };
  });
  const isOpen = new Set(open.map(({ port, protocol }) => `${port}/${protocol}`));
  const closed = exposed
    .filter((port) => !isOpen.has(port))
    .map((text) => ({ address: '', hostPort: 0, port: Number.parseInt(text, 10), protocol: text.split('/')[1] ?? 'tcp' }));
  return displayPorts([...open, ...closed].sort(comparePorts));
}

function comparePorts(a: ShownPort, b: ShownPort): number {
  return a.port - b.port || compareText(a.address, b.address) || a.hostPort - b.hostPort || compareText(a.protocol, b.protocol);
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Ranges that ended before their kind's last one come first, then the last ones, then what has another port on the host. */
function displayPorts(ports: readonly ShownPort[]): string {
  const ended: string[] = [];
  const mapped: string[] = [];
  const groups = new Map<string, { readonly of: ShownPort; last: number }>();
  for (const each of ports) {
    const { address, hostPort, port, protocol } = each;
    if (address !== '' && hostPort !== port) {
      mapped.push(`${withPort(address, String(hostPort))}->${port}/${protocol}`);
      continue;
    }
    const key = `${address}/${protocol}`;
    const group = groups.get(key);
    if (group && port === group.last + 1) {
      group.last = port;
      continue;
    }
    if (group) ended.push(groupText(group.of, group.last));
    groups.set(key, { of: each, last: port });
  }
  return [...ended, ...[...groups.values()].map(({ of, last }) => groupText(of, last)), ...mapped].join(', ');
}

function groupText({ address, port, protocol }: ShownPort, last: number): string {
  const range = port === last ? String(port) : `${port}-${last}`;
  return `${address === '' ? range : `${withPort(address, range)}->${range}`}/${protocol}`;
}

const withPort = (address: string, port: string): string => `${address.includes(':') ? `[${address}]` : address}:${port}`;
