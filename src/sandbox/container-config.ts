// What to run, as an OCI runtime-spec configuration. Shared by RUN steps and containers; any OCI runtime can execute it.
// Isolation is Docker's default: its capabilities, its seccomp effect, its masked paths. Nothing here touches the system.

import { hostPlatform } from '../oci/platform.ts';
import type { Credentials } from '../snapshots/accounts.ts';
import type { DeviceNode } from './device-node.ts';
import { type Cgroup, limitsConfig } from './limits.ts';
import type { Network } from './network.ts';
import { defaultSeccomp } from './seccomp.ts';
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
}

const CAPABILITIES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_MKNOD',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_CHROOT',
  'CAP_KILL',
  'CAP_AUDIT_WRITE',
];

/** In the order of their numbers (linux/capability.h); a runtime gives those that it has. */
export const ALL_CAPABILITIES =
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'.split(
    ' ',
  );

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

const systemMounts = ({ shmBytes = SHM_BYTES, isInsecure, bindsSys }: ContainerSpec): Mount[] => [
  { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
  { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
  },
  { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
  {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: ['nosuid', 'noexec', 'nodev', 'mode=1777', `size=${shmBytes}`],
  },
  {
    destination: '/sys',
    ...(bindsSys ? { type: 'bind', source: '/sys' } : { type: 'sysfs', source: 'sysfs' }),
    options: [...(bindsSys ? ['rbind', 'rprivate'] : []), 'nosuid', 'noexec', 'nodev', isInsecure ? 'rw' : 'ro'],
  },
  // Those of the host that come along may be the account's own, and writable.
  ...(bindsSys
    ? [{ destination: '/sys/fs/cgroup', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'noexec', 'nodev', 'ro', 'size=4k'] }]
    : []),
];

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
      capabilities: spec.isInsecure ? allCapabilities() : defaultCapabilities,
      ...(spec.rlimits?.length && { rlimits: spec.rlimits.map(rlimit) }),
    },
    root: { path: 'rootfs', readonly: spec.readonlyRoot },
    hostname: spec.hostname,
    ...(spec.hooks?.length && { hooks: hooksByName(spec.hooks) }),
    mounts: [...systemMounts(spec), ...spec.mounts],
    linux: {
      namespaces: [
        { type: 'mount' },
        { type: 'pid' },
        { type: 'ipc' },
        { type: 'uts' },
        { type: 'cgroup' },
        ...(spec.network === 'none' ? [{ type: 'network' }] : []),
        ...(spec.userns === 'private' ? [{ type: 'user' }] : []),
      ],
      ...(spec.cgroup && limitsConfig(spec.cgroup)),
      ...(spec.userns === 'private' && { uidMappings: ID_MAPPINGS, gidMappings: ID_MAPPINGS }),
      ...(spec.devices?.length && { devices: spec.devices }),
      // The host's processor, not the image's: what emulates another makes the host's system calls.
      ...(spec.isInsecure
        ? {}
        : { maskedPaths: MASKED, readonlyPaths: READONLY, seccomp: defaultSeccomp(hostPlatform().architecture) }),
    },
  };
}

function hooksByName(hooks: readonly (readonly [HookName, Hook])[]): Partial<Record<HookName, Hook[]>> {
  return Object.fromEntries(HOOK_NAMES.map((name) => [name, hooks.filter(([own]) => own === name).map(([, hook]) => hook)]));
}

const defaultCapabilities = { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES };

/** Those that this process has itself; in every set, as BuildKit gives them (util/entitlements/security). */
function allCapabilities(): Record<string, readonly string[]> {
  const all = ALL_CAPABILITIES.map((name) => `CAP_${name}`);
  return { bounding: all, effective: all, permitted: all, inheritable: all, ambient: all };
}

/** JavaScript's numbers do not reach to the one that means no limit. */
const rlimit = ({ type, soft, hard }: Rlimit) => ({ type, soft: limitOf(soft), hard: limitOf(hard) });
const limitOf = (value: number): unknown => (value === UNLIMITED ? rawJson('18446744073709551615') : value);
/** Node.js has it, TypeScript's library does not know it yet. */
const rawJson = (text: string): unknown => (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text);
