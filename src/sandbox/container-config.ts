// What to run, as an OCI runtime-spec configuration. Shared by RUN steps and containers; any OCI runtime can execute it.
// Isolation is Docker's default: its capabilities, its seccomp effect, its masked paths. Nothing here touches the system.

import type { Credentials } from '../snapshots/accounts.ts';
import { defaultSeccomp } from './seccomp.ts';

export interface Mount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export interface ContainerSpec {
  readonly args: readonly string[];
  readonly env: readonly string[];
  /** Absolute. */
  readonly cwd: string;
  readonly user: Credentials;
  readonly hostname: string;
  /** `host`: the host's network; `none`: a new one with only a loopback. */
  readonly network: 'host' | 'none';
  readonly terminal: boolean;
  readonly readonlyRoot: boolean;
  /** After the system's own, in this order. */
  readonly mounts: readonly Mount[];
  /** `amd64`, `arm64`. */
  readonly architecture: string;
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

const MASKED = [
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

const READONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

const SYSTEM_MOUNTS: readonly Mount[] = [
  { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
  { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
  },
  { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
  { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'] },
  { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
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
      user: { uid: spec.user.uid, gid: spec.user.gid, additionalGids: spec.user.additionalGids },
      args: spec.args,
      env: spec.env,
      cwd: spec.cwd,
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
    },
    root: { path: 'rootfs', readonly: spec.readonlyRoot },
    hostname: spec.hostname,
    mounts: [...SYSTEM_MOUNTS, ...spec.mounts],
    linux: {
      namespaces: [
        { type: 'mount' },
        { type: 'pid' },
        { type: 'ipc' },
        { type: 'uts' },
        { type: 'cgroup' },
        ...(spec.network === 'none' ? [{ type: 'network' }] : []),
      ],
      maskedPaths: MASKED,
      readonlyPaths: READONLY,
      seccomp: defaultSeccomp(spec.architecture),
    },
  };
}
