// What to run, as an OCI runtime-spec configuration. Shared by RUN steps and containers; any OCI runtime can execute it.
// Isolation is Docker's default: its capabilities, its seccomp effect, its masked paths. Nothing here touches the system.

import { existsSync } from 'node:fs';
import { hostPlatform } from '../oci/platform.ts';
import type { Credentials } from '../snapshots/accounts.ts';
import { DEFAULT_CAPABILITIES, everyCapability } from './capabilities.ts';
import type { DeviceNode } from './device-node.ts';
import { type Cgroup, limitsConfig } from './limits.ts';
import type { Network } from './network.ts';
import { defaultSeccomp, type SeccompProfile } from './seccomp.ts';
import { ID_MAPPINGS, type UserNamespace } from './user-namespace.ts';

export interface Mount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** A program that the runtime executes at one point of a container's life (runtime-spec, config.md: POSIX-platform Hooks). */
export interface Hook {
  readonly path: string;
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  /** Seconds. */
  readonly timeout?: number;
}

export const HOOK_NAMES = ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'] as const;
export type HookName = (typeof HOOK_NAMES)[number];

/** What a container gets for the devices that it was given. */
export interface DeviceEdits {
  /** Theirs, in full. */
  readonly names: readonly string[];
  readonly env: readonly string[];
  readonly nodes: readonly DeviceNode[];
  readonly mounts: readonly Mount[];
  readonly additionalGids: readonly number[];
  readonly hooks: readonly (readonly [HookName, Hook])[];
}

export const NO_DEVICES: DeviceEdits = { names: [], env: [], nodes: [], mounts: [], additionalGids: [], hooks: [] };

export const UNLIMITED = -1;

/** A limit of setrlimit. `UNLIMITED` for none. */
export interface Rlimit {
  /** `RLIMIT_NOFILE` … */
  readonly type: string;
  readonly soft: number;
  readonly hard: number;
}

export interface ContainerSpec {
  readonly args: readonly string[];
  readonly env: readonly string[];
  /** Absolute. */
  readonly cwd: string;
  readonly user: Credentials;
  readonly hostname: string;
  readonly network: Network;
  readonly userns: UserNamespace;
  /** /sys is the host's; unset: one of the container's own network. */
  readonly bindsSys?: boolean | undefined;
  readonly terminal: boolean;
  /** Of the terminal, where it is known. */
  readonly consoleSize?: { readonly width: number; readonly height: number } | undefined;
  readonly readonlyRoot: boolean;
  /** After the system's own, in this order. */
  readonly mounts: readonly Mount[];
  /** Of /dev/shm; undefined: Docker's 64 MiB. */
  readonly shmBytes?: number | undefined;
  readonly rlimits?: readonly Rlimit[];
  readonly cgroup?: Cgroup | undefined;
  readonly devices?: readonly DeviceNode[];
  readonly hooks?: readonly (readonly [HookName, Hook])[];
  /** No protection of the host: every capability and system call, nothing hidden (`RUN --security=insecure`). */
  readonly isInsecure?: boolean;
  /** Of containers; RUN steps have none of it. */
  readonly more?: ContainerExtras;
}

/** What flags of `run` change of a container that is as RUN's are. */
export interface ContainerExtras {
  readonly domainname: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly capabilities: readonly string[];
  readonly noNewPrivileges: boolean;
  /** Null: every system call. */
  readonly seccomp: SeccompProfile | null;
  /** Of the paths that are hidden or read-only. */
  readonly isUnmasked: (path: string) => boolean;
  readonly sysctls: Readonly<Record<string, string>>;
  readonly oomScoreAdj?: number | undefined;
  /** Those that are not the container's own: `host`, or the path of another one's. */
  readonly namespaces: Readonly<Partial<Record<NamespaceType, string>>>;
  /** Undefined: /sys/fs/cgroup shows nothing. */
  readonly cgroups: 'ro' | 'rw' | undefined;
  /** `host`: /dev/shm and /dev/mqueue are the machine's; `none`: there is no /dev/shm. */
  readonly ipcFiles: 'own' | 'host' | 'none';
  /** Of the root, where mounts come in or go out. */
  readonly propagation?: string | undefined;
}

export type NamespaceType = 'pid' | 'ipc' | 'uts' | 'cgroup' | 'network' | 'user';

export const MASKED = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
];

export const READONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

const SHM_BYTES = 64 << 20;

const systemMounts = ({ shmBytes = SHM_BYTES, isInsecure, bindsSys, more }: ContainerSpec): Mount[] => [
  { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
  { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
  },
  ...ipcMounts(shmBytes, more?.ipcFiles),
  {
    destination: '/sys',
    ...(bindsSys ? { type: 'bind', source: '/sys' } : { type: 'sysfs', source: 'sysfs' }),
    options: [...(bindsSys ? ['rbind', 'rprivate'] : []), 'nosuid', 'noexec', 'nodev', isInsecure ? 'rw' : 'ro'],
  },
  ...cgroupMounts(bindsSys, more?.cgroups),
];

function ipcMounts(shmBytes: number, files: ContainerExtras['ipcFiles'] = 'own'): Mount[] {
  if (files === 'host') {
    const host = (destination: string) => ({ destination, type: 'bind', source: destination, options: ['bind', 'rprivate'] });
    return [...(existsSync('/dev/mqueue') ? [host('/dev/mqueue')] : []), host('/dev/shm')];
  }
  const shm: Mount = {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: ['nosuid', 'noexec', 'nodev', 'mode=1777', `size=${shmBytes}`],
  };
  const queues: Mount = { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] };
  return files === 'none' ? [queues] : [queues, shm];
}

function cgroupMounts(bindsSys: boolean | undefined, shown: ContainerExtras['cgroups']): Mount[] {
  const options = ['nosuid', 'noexec', 'nodev'];
  if (shown)
    return [{ destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: [...options, 'relatime', shown] }];
  // Those of the host that come along may be the account's own, and writable.
  if (!bindsSys) return [];
  return [{ destination: '/sys/fs/cgroup', type: 'tmpfs', source: 'tmpfs', options: [...options, 'ro', 'size=4k'] }];
}

/** Directories and files that mounts need; they come from a stub below the image, so that no layer ever holds them. */
export const SYSTEM_STUB = [
  { path: 'proc', type: 'dir' },
  { path: 'dev', type: 'dir' },
  { path: 'sys', type: 'dir' },
  { path: 'etc', type: 'dir' },
  { path: 'etc/hosts', type: 'file' },
  { path: 'etc/resolv.conf', type: 'file' },
] as const;

export function containerConfig(spec: ContainerSpec): unknown {
  const { more } = spec;
  return {
    // Everything here is in 1.0; older runtimes refuse a later number.
    ociVersion: '1.0.2',
    process: {
      terminal: spec.terminal,
      ...(spec.consoleSize && { consoleSize: spec.consoleSize }),
      user: { uid: spec.user.uid, gid: spec.user.gid, additionalGids: spec.user.additionalGids },
      args: spec.args,
      env: spec.env,
      cwd: spec.cwd,
      capabilities: capabilitiesOf(spec),
      ...(spec.rlimits?.length && { rlimits: spec.rlimits.map(rlimit) }),
      ...(more?.noNewPrivileges && { noNewPrivileges: true }),
      ...(more?.oomScoreAdj !== undefined && { oomScoreAdj: more.oomScoreAdj }),
    },
    root: { path: 'rootfs', readonly: spec.readonlyRoot },
    ...(more?.namespaces.uts === undefined && {
      hostname: spec.hostname,
      ...(more?.domainname && { domainname: more.domainname }),
    }),
    ...(more && Object.keys(more.annotations).length > 0 && { annotations: more.annotations }),
    ...(spec.hooks?.length && { hooks: hooksByName(spec.hooks) }),
    mounts: [...systemMounts(spec), ...spec.mounts],
    linux: {
      namespaces: namespacesOf(spec),
      ...(spec.cgroup && limitsConfig(spec.cgroup)),
      ...(spec.userns === 'private' && { uidMappings: ID_MAPPINGS, gidMappings: ID_MAPPINGS }),
      ...(spec.devices?.length && { devices: spec.devices }),
      ...(more && Object.keys(more.sysctls).length > 0 && { sysctl: more.sysctls }),
      ...(more?.propagation && { rootfsPropagation: more.propagation }),
      ...restrictions(spec),
    },
  };
}

function namespacesOf({ network, userns, more }: ContainerSpec): { type: string; path?: string }[] {
  const all = [
    'mount',
    'pid',
    'ipc',
    'uts',
    'cgroup',
    ...(network === 'none' ? ['network'] : []),
    ...(userns === 'private' ? ['user'] : []),
  ];
  return all.flatMap((type) => {
    const place = more?.namespaces[type as NamespaceType];
    return place === 'host' ? [] : [{ type, ...(place !== undefined && { path: place }) }];
  });
}

function restrictions({ isInsecure, more }: ContainerSpec): object {
  if (isInsecure) return {};
  const masked = (paths: readonly string[]) => (more ? paths.filter((path) => !more.isUnmasked(path)) : paths);
  const paths = { maskedPaths: masked(MASKED), readonlyPaths: masked(READONLY) };
  // The host's processor, not the image's: what emulates another makes the host's system calls.
  const seccomp = more ? more.seccomp : defaultSeccomp(hostPlatform().architecture);
  return { ...paths, ...(seccomp && { seccomp }) };
}

function hooksByName(hooks: readonly (readonly [HookName, Hook])[]): Partial<Record<HookName, Hook[]>> {
  return Object.fromEntries(HOOK_NAMES.map((name) => [name, hooks.filter(([own]) => own === name).map(([, hook]) => hook)]));
}

function capabilitiesOf({ isInsecure, more }: ContainerSpec): Record<string, readonly string[]> {
  const names = more?.capabilities ?? (isInsecure ? everyCapability() : DEFAULT_CAPABILITIES);
  const usual = { bounding: names, effective: names, permitted: names };
  // In every set, as BuildKit gives them (util/entitlements/security).
  return isInsecure && !more ? { ...usual, inheritable: names, ambient: names } : usual;
}

/** JavaScript's numbers do not reach to the one that means no limit. */
const rlimit = ({ type, soft, hard }: Rlimit) => ({ type, soft: limitOf(soft), hard: limitOf(hard) });
const limitOf = (value: number): unknown => (value === UNLIMITED ? rawJson('18446744073709551615') : value);
/** Node.js has it, TypeScript's library does not know it yet. */
const rawJson = (text: string): unknown => (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text);
