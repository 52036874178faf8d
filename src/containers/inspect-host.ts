// The member HostConfig of `inspect`: what of a container concerns the host, in docker's words and units (moby api/types/container HostConfig). Pure.

import { Struct } from '../base/struct.ts';
import { MASKED, READONLY } from '../sandbox/container-config.ts';
import type { ContainerMount, ContainerSpec, NetworkChoice, PortMapping } from './spec.ts';

const SHM_BYTES = 64 << 20;

export function inspectHostConfig(spec: ContainerSpec): Struct {
  return new Struct({
    Binds: orNull(spec.mounts.flatMap(bindOf)),
    ContainerIDFile: '',
    LogConfig: { Type: spec.log.driver, Config: spec.log.options },
    NetworkMode: networkModeOf(spec.network),
    PortBindings: portBindings(spec.ports),
    RestartPolicy: { Name: spec.restart.name, MaximumRetryCount: spec.restart.maximumRetries },
    AutoRemove: spec.autoRemove,
    VolumeDriver: '',
    VolumesFrom: null,
    ConsoleSize: [0, 0],
    ...(Object.keys(spec.annotations).length > 0 && { Annotations: spec.annotations }),
    CapAdd: orNull(spec.capAdd),
    CapDrop: orNull(spec.capDrop),
    CgroupnsMode: spec.cgroupns,
    Dns: spec.dns.servers,
    DnsOptions: spec.dns.options,
    DnsSearch: spec.dns.search,
    ExtraHosts: orNull(spec.extraHosts),
    GroupAdd: orNull(spec.groups),
    IpcMode: spec.ipc,
    Cgroup: '',
    Links: null,
    OomScoreAdj: spec.oomScoreAdj ?? 0,
    PidMode: modeOf(spec.pid),
    Privileged: spec.privileged,
    PublishAllPorts: spec.publishAll,
    ReadonlyRootfs: spec.readonlyRoot,
    SecurityOpt: orNull(securityOptions(spec)),
    ...tmpfsMembers(spec.mounts),
    UTSMode: modeOf(spec.uts),
    UsernsMode: spec.userns === 'host' ? 'host' : '',
    ShmSize: spec.shmBytes ?? SHM_BYTES,
    ...(Object.keys(spec.sysctls).length > 0 && { Sysctls: spec.sysctls }),
    Runtime: spec.runtime ?? 'tbuild-runner',
    Isolation: '',
    ...limitMembers(spec),
    ...hiddenMembers(spec),
    ...(spec.init && { Init: true }),
  });
}

/** `private` is what docker leaves unsaid. */
const modeOf = (mode: string): string => (mode === 'private' ? '' : mode);
const orNull = <T>(list: readonly T[]): readonly T[] | null => (list.length === 0 ? null : list);

export function networkModeOf({ mode, container, networks }: NetworkChoice): string {
  if (mode === 'container') return `container:${container}`;
  return mode === 'bridge' ? (networks[0]?.network ?? 'bridge') : mode;
}

/** As -v has it; what --mount made is in Mounts alone. */
function bindOf(mount: ContainerMount): string[] {
  if (mount.type === 'bind' && mount.makesSource) return [`${mount.source}:${mount.target}${mount.readonly ? ':ro' : ''}`];
  if (mount.type === 'volume' && !mount.isAnonymous) return [`${mount.name}:${mount.target}${mount.readonly ? ':ro' : ''}`];
  return [];
}

function portBindings(ports: readonly PortMapping[]): object {
  const byPort = Map.groupBy(ports, ({ containerPort, protocol }) => `${containerPort}/${protocol}`);
  return Object.fromEntries([...byPort].map(([port, mappings]) => [port, mappings.map(bindingOf)]));
}

function bindingOf({ hostAddress, hostPort, hostPortEnd }: PortMapping): object {
  const ports = hostPortEnd === undefined ? String(hostPort) : `${hostPort}-${hostPortEnd}`;
  return { HostIp: hostAddress, HostPort: hostPort === 0 ? '' : ports };
}

function securityOptions({ security: { noNewPrivileges, seccomp, unmask } }: ContainerSpec): string[] {
  return [
    ...(noNewPrivileges ? ['no-new-privileges'] : []),
    ...(seccomp === undefined ? [] : [`seccomp=${seccomp}`]),
    ...(unmask.length > 0 ? [`unmask=${unmask.join(':')}`] : []),
  ];
}

function tmpfsMembers(mounts: ContainerSpec['mounts']): object {
  const options = mounts.flatMap((mount) => (mount.type === 'tmpfs' ? [[mount.target, mount.options.join(',')] as const] : []));
  return options.length === 0 ? {} : { Tmpfs: Object.fromEntries(options) };
}

function limitMembers({ limits, cgroupParent, devices, deviceRules, rlimits }: ContainerSpec): object {
  const { memory, cpu, pids, blockIO } = limits;
  // --cpus is a quota of the usual period, which --cpu-quota alone does not name.
  const isCpus = cpu?.quota !== undefined && cpu.period === 100_000;
  return {
    CpuShares: cpu?.shares ?? 0,
    Memory: memory?.limit ?? 0,
    NanoCpus: isCpus ? cpu.quota * 10_000 : 0,
    CgroupParent: cgroupParent ?? '',
    BlkioWeight: blockIO?.weight ?? 0,
    BlkioWeightDevice: [],
    BlkioDeviceReadBps: [],
    BlkioDeviceWriteBps: [],
    BlkioDeviceReadIOps: [],
    BlkioDeviceWriteIOps: [],
    CpuPeriod: isCpus ? 0 : (cpu?.period ?? 0),
    CpuQuota: isCpus ? 0 : (cpu?.quota ?? 0),
    CpuRealtimePeriod: cpu?.realtimePeriod ?? 0,
    CpuRealtimeRuntime: cpu?.realtimeRuntime ?? 0,
    CpusetCpus: cpu?.cpus ?? '',
    CpusetMems: cpu?.mems ?? '',
    Devices: devices.flatMap((device) =>
      'cdi' in device ? [] : [{ PathOnHost: device.host, PathInContainer: device.path, CgroupPermissions: device.access }],
    ),
    DeviceCgroupRules: orNull(deviceRules.map(ruleText)),
    DeviceRequests: orNull(
      devices.flatMap((device) =>
        'cdi' in device ? [{ Driver: 'cdi', Count: 0, DeviceIDs: [device.cdi], Capabilities: null, Options: null }] : [],
      ),
    ),
    MemoryReservation: memory?.reservation ?? 0,
    MemorySwap: memory?.swap ?? 0,
    MemorySwappiness: memory?.swappiness ?? null,
    OomKillDisable: memory?.disableOOMKiller ?? null,
    PidsLimit: pids?.limit ?? null,
    Ulimits: rlimits.map(({ type, soft, hard }) => ({ Name: type.replace('RLIMIT_', '').toLowerCase(), Hard: hard, Soft: soft })),
    CpuCount: 0,
    CpuPercent: 0,
    IOMaximumIOps: 0,
    IOMaximumBandwidth: 0,
  };
}

function ruleText({ type = 'a', major, minor, access }: ContainerSpec['deviceRules'][number]): string {
  return `${type} ${major ?? '*'}:${minor ?? '*'} ${access}`;
}

function hiddenMembers({ privileged, security: { unmask } }: ContainerSpec): object {
  if (privileged || unmask.includes('ALL')) return { MaskedPaths: null, ReadonlyPaths: null };
  const hidden = (paths: readonly string[]) => paths.filter((path) => !unmask.includes(path));
  return { MaskedPaths: hidden(MASKED), ReadonlyPaths: hidden(READONLY) };
}
