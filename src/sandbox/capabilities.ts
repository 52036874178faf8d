// Capabilities by their names (linux/capability.h), and what --cap-add and --cap-drop make of Docker's default ones.

import { readFileSync } from 'node:fs';

/** In the order of their numbers; a runtime gives those that it has. */
export const ALL_CAPABILITIES =
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'.split(
    ' ',
  );

export const DEFAULT_CAPABILITIES = [
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

export const everyCapability = (): string[] => ALL_CAPABILITIES.map((name) => `CAP_${name}`);

/** All that this process could give to another: where it is a container itself, some are missing, and not every runtime leaves those out. */
export function givableCapabilities(): string[] {
  const bounding = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  const bits = BigInt(`0x${bounding ?? 'ffffffffffffffff'}`);
  return everyCapability().filter((_, number) => (bits >> BigInt(number)) & 1n);
}

/** Names as `CAP_CHOWN`, or `ALL` (moby: oci/caps/utils.go, TweakCapabilities): with ALL the other list says what is meant beside it. */
export function changeCapabilities(add: readonly string[], drop: readonly string[]): string[] {
  const [addsAll, dropsAll] = [add.includes('ALL'), drop.includes('ALL')];
  if (addsAll) return givableCapabilities().filter((name) => !drop.includes(name));
  const kept = dropsAll ? [] : DEFAULT_CAPABILITIES.filter((name) => !drop.includes(name));
  return [...new Set([...kept, ...add])];
}

/** These mean something to the whole machine: who is root of a user namespace alone cannot use them. */
const OF_THE_HOST = [
  'SYS_MODULE',
  'SYS_RAWIO',
  'SYS_BOOT',
  'SYS_TIME',
  'SYSLOG',
  'MAC_ADMIN',
  'MAC_OVERRIDE',
  'AUDIT_CONTROL',
  'AUDIT_READ',
  'BPF',
  'PERFMON',
  'SYS_PACCT',
  'WAKE_ALARM',
  'BLOCK_SUSPEND',
  'DAC_READ_SEARCH',
];

export function needHost(added: readonly string[]): boolean {
  return added.some((name) => name === 'ALL' || OF_THE_HOST.includes(name.replace(/^CAP_/, '')));
}
