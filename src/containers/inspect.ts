// A container as `inspect` describes it: docker's document (moby api/types/container InspectResponse), in its order, with its words for what there is
// none of. What tbuild has no such thing of reads as it does in docker where nobody uses it. Pure.

import { join } from 'node:path';
import { Struct } from '../base/struct.ts';
import { inspectHostConfig, networkModeOf } from './inspect-host.ts';
import type { ListedContainer } from './listing.ts';
import type { ContainerMount, ContainerSpec, PortMapping } from './spec.ts';
import { type ContainerState, isUp } from './state.ts';

export interface InspectContext {
  /** Where a volume's files are. */
  readonly volumePath: (name: string) => string;
}

export function inspectContainer(listed: ListedContainer, context: InspectContext): Struct {
  const { container, state, size } = listed;
  const { id, spec, directory } = container;
  const [path = '', ...args] = [...spec.entrypoint, ...spec.cmd];
  const file = (name: string) => join(directory, 'files', name);
  return new Struct({
    Id: id,
    Created: timeText(container.created),
    Path: path,
    Args: args,
    State: inspectState(state),
    Image: spec.image.id,
    ResolvConfPath: file('resolv.conf'),
    HostnamePath: file('hostname'),
    HostsPath: file('hosts'),
    LogPath: spec.log.driver === 'none' ? '' : join(directory, 'log'),
    Name: `/${container.name}`,
    RestartCount: state.restartCount,
    Driver: 'overlayfs',
    Platform: spec.platform.os,
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: '',
    ExecIDs: null,
    HostConfig: inspectHostConfig(spec),
    GraphDriver: { Data: { UpperDir: join(directory, 'upper'), WorkDir: join(directory, 'work') }, Name: 'overlayfs' },
    ...(size && { SizeRw: size.writtenBytes, SizeRootFs: size.rootBytes }),
    Mounts: spec.mounts.flatMap((mount) => inspectMount(mount, context)),
    Config: inspectConfig(id, spec),
    NetworkSettings: inspectNetworks(listed),
  });
}

/** Go's zero time is what never was. */
function timeText(timeMs: number): string {
  return timeMs === 0 ? '0001-01-01T00:00:00Z' : new Date(timeMs).toISOString();
}

function inspectState(state: ContainerState): Struct {
  const { status, health } = state;
  return new Struct({
    Status: status,
    Running: isUp(status) || status === 'restarting',
    Paused: status === 'paused',
    Restarting: status === 'restarting',
    OOMKilled: state.oomKilled,
    Dead: status === 'dead',
    Pid: isUp(status) ? state.pid : 0,
    ExitCode: isUp(status) ? 0 : state.exitCode,
    Error: state.error,
    StartedAt: timeText(state.startedAt),
    FinishedAt: timeText(state.finishedAt),
    ...(health && { Health: inspectHealth(health) }),
  });
}

function inspectHealth({ status, failingStreak, log }: NonNullable<ContainerState['health']>): Struct {
  const entries = log.map(({ start, end, exitCode, output }) => {
    return { Start: timeText(start), End: timeText(end), ExitCode: exitCode, Output: output };
  });
  return new Struct({ Status: status, FailingStreak: failingStreak, Log: entries });
}

/** What --tmpfs makes is in HostConfig alone. */
function inspectMount(mount: ContainerMount, { volumePath }: InspectContext): object[] {
  switch (mount.type) {
    case 'bind': {
      const { source, target, readonly, propagation } = mount;
      const mode = readonly ? 'ro' : '';
      return [
        { Type: 'bind', Source: source, Destination: target, Mode: mode, RW: !readonly, Propagation: propagation || 'rprivate' },
      ];
    }
    case 'volume': {
      const { name, target, readonly } = mount;
      const place = { Type: 'volume', Name: name, Source: volumePath(name), Destination: target, Driver: 'local' };
      return [{ ...place, Mode: readonly ? 'ro' : 'z', RW: !readonly, Propagation: '' }];
    }
    case 'image':
      return [{ Type: 'image', Source: mount.image, Destination: mount.target, Mode: '', RW: false, Propagation: '' }];
    case 'tmpfs':
      return [];
  }
}

function inspectConfig(id: string, spec: ContainerSpec): Struct {
  const volumes = spec.mounts.flatMap((mount) => (mount.type === 'volume' && mount.isAnonymous ? [mount.target] : []));
  return new Struct({
    Hostname: spec.hostname || id.slice(0, 12),
    Domainname: spec.domainname,
    User: spec.user,
    AttachStdin: false,
    AttachStdout: true,
    AttachStderr: true,
    ...(spec.exposed.length > 0 && { ExposedPorts: emptyMembers(spec.exposed) }),
    Tty: spec.terminal,
    OpenStdin: spec.openStdin,
    StdinOnce: false,
    Env: spec.env,
    Cmd: orNull(spec.cmd),
    ...(spec.health && { Healthcheck: spec.health }),
    Image: spec.image.name,
    Volumes: volumes.length === 0 ? null : emptyMembers(volumes),
    WorkingDir: spec.workdir,
    Entrypoint: orNull(spec.entrypoint),
    OnBuild: null,
    Labels: spec.labels,
    ...(spec.stopSignal !== 'SIGTERM' && { StopSignal: spec.stopSignal }),
    ...(spec.stopTimeoutSeconds !== 10 && { StopTimeout: spec.stopTimeoutSeconds }),
  });
}

const emptyMembers = (names: readonly string[]): object => Object.fromEntries(names.map((name) => [name, {}]));
const orNull = <T>(list: readonly T[]): readonly T[] | null => (list.length === 0 ? null : list);

/** The members of the default network stand a level higher, too. */
function inspectNetworks({ container, state, networks, published }: ListedContainer): Struct {
  const { directory, spec } = container;
  const first = networkModeOf(spec.network) === 'bridge' ? networks[0] : undefined;
  return new Struct({
    Bridge: '',
    SandboxID: isUp(state.status) ? container.id : '',
    SandboxKey: isUp(state.status) ? join(directory, 'run', 'netns') : '',
    Ports: isUp(state.status) ? openPorts(spec.exposed, published) : {},
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: '',
    Gateway: first?.gateway ?? '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    IPAddress: first?.address ?? '',
    IPPrefixLen: first?.prefixLength ?? 0,
    IPv6Gateway: '',
    MacAddress: first?.mac ?? '',
    Networks: Object.fromEntries(networks.map((endpoint) => [endpoint.network, inspectEndpoint(endpoint, spec)])),
  });
}

function inspectEndpoint(endpoint: ListedContainer['networks'][number], { network }: ContainerSpec): Struct {
  const asked = network.networks.find((attachment) => attachment.network === endpoint.network);
  return new Struct({
    IPAMConfig: asked?.address === undefined ? null : { IPv4Address: asked.address },
    Links: null,
    Aliases: orNull(endpoint.aliases),
    MacAddress: endpoint.mac,
    DriverOpts: null,
    GwPriority: 0,
    NetworkID: '',
    EndpointID: '',
    Gateway: endpoint.gateway,
    IPAddress: endpoint.address,
    IPPrefixLen: endpoint.prefixLength,
    IPv6Gateway: '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    DNSNames: null,
  });
}

/** What is exposed only leads nowhere: null. */
function openPorts(exposed: readonly string[], published: readonly PortMapping[]): object {
  const closed = exposed.map((port) => [port, null] as const);
  const open = Map.groupBy(published, ({ containerPort, protocol }) => `${containerPort}/${protocol}`);
  const bindings = [...open].map(([port, mappings]) => {
    return [
      port,
      mappings.map(({ hostAddress, hostPort }) => ({ HostIp: hostAddress || '0.0.0.0', HostPort: String(hostPort) })),
    ] as const;
  });
  return Object.fromEntries([...closed, ...bindings]);
}
