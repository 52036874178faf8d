// What a container may do: --cap-add, --cap-drop, --security-opt, --sysctl, and whose namespaces it has (docker/cli: opts.go; moby: oci/caps, daemon_unix.go).

import { readFileSync } from 'node:fs';
import { parseBool } from '../../base/parse-bool.ts';
import type { CreateOptions } from '../../containers/create-options.ts';
import type { ContainerSpec } from '../../containers/spec.ts';
import { ALL_CAPABILITIES } from '../../sandbox/capabilities.ts';
import { nearest } from '../nearest.ts';
import { badArgument, badValue } from './bad-argument.ts';

/** `NET_ADMIN`, `cap_net_admin`, `all` → `CAP_NET_ADMIN`, `ALL`. */
export function parseCapabilities(names: readonly string[], set: 'CapAdd' | 'CapDrop'): string[] {
  return names.map((written) => {
    const upper = written.toUpperCase();
    if (upper === 'ALL') return upper;
    const bare = upper.replace(/^CAP_/, '');
    if (ALL_CAPABILITIES.includes(bare)) return `CAP_${bare}`;
    const meant = nearest(bare, ALL_CAPABILITIES);
    throw badValue(`invalid ${set}: unknown capability: "CAP_${bare}"`, meant && `did you mean ${meant}?`);
  });
}

/** `tell` has a line for what has no effect here. */
export function parseSecurity(options: readonly string[], tell: (line: string) => void): ContainerSpec['security'] {
  let noNewPrivileges = false;
  let seccomp: string | undefined;
  const unmask: string[] = [];
  for (const option of options) {
    const [, key, value] = /^([^=:]+)(?:[=:](.*))?$/s.exec(option) ?? [undefined, '', undefined];
    const invalid = () => badValue(`invalid --security-opt: ${JSON.stringify(option)}`);
    if (key === 'no-new-privileges') {
      const isOn = value === undefined ? true : parseBool(value);
      if (isOn === undefined) throw invalid();
      noNewPrivileges = isOn;
    } else if (value === undefined) throw invalid();
    else if (key === 'seccomp') seccomp = value === 'unconfined' ? value : value === 'builtin' ? undefined : readProfile(value);
    else if (key === 'systempaths' && value === 'unconfined') unmask.push('ALL');
    else if (key === 'unmask') unmask.push(...unmasked(value, invalid));
    else if (key === 'label' || key === 'apparmor') {
      if (value !== 'disable' && value !== 'unconfined') tell(`--security-opt ${option} has no effect: ${NO_LABELS[key]}`);
    } else throw invalid();
  }
  return { noNewPrivileges, ...(seccomp !== undefined && { seccomp }), unmask };
}

const NO_LABELS = {
  label: 'containers have no SELinux labels here',
  apparmor: 'containers have no AppArmor profile here',
} as const;

/** podman's: `ALL`, or paths with a colon between. */
function unmasked(value: string, invalid: () => Error): string[] {
  if (value.toUpperCase() === 'ALL') return ['ALL'];
  const paths = value.split(':');
  if (!paths.every((path) => path.startsWith('/'))) throw invalid();
  return paths;
}

/** As it stands; what it says is read when the container is started. */
function readProfile(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw badValue(`opening seccomp profile (${path}) failed: ${(error as Error).message}`);
  }
  try {
    JSON.parse(text);
    return text;
  } catch (error) {
    throw badValue(`compacting json for seccomp profile (${path}) failed: ${(error as Error).message}`);
  }
}

const OF_IPC = [
  'kernel.msgmax',
  'kernel.msgmnb',
  'kernel.msgmni',
  'kernel.sem',
  'kernel.shmall',
  'kernel.shmmax',
  'kernel.shmmni',
  'kernel.shm_rmid_forced',
];

/** Only those that a namespace has of its own. */
export function parseSysctls(pairs: readonly string[], isHostNetwork: boolean, isHostIpc: boolean): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      // sysctl(8) takes slashes, too.
      const name = pair.slice(0, Math.max(at, 0));
      const isOfNetwork = name.startsWith('net.');
      if (!isOfNetwork && !name.startsWith('fs.mqueue.') && !OF_IPC.includes(name))
        throw badArgument('--sysctl', pair, `sysctl '${pair}' is not allowed`);
      if (isOfNetwork && isHostNetwork) throw badValue(`sysctl "${name}" not allowed in host network namespace`);
      if (!isOfNetwork && isHostIpc) throw badValue(`sysctl "${name}" is not allowed in the hosts ipc namespace`);
      return [name, pair.slice(at + 1)];
    }),
  );
}

interface NamespaceFlags {
  readonly pid: string | undefined;
  readonly ipc: string | undefined;
  readonly uts: string | undefined;
  readonly cgroupns: string | undefined;
  readonly userns: string | undefined;
}

/** `container:` is followed by a name as it was given. */
export function parseNamespaces(flags: NamespaceFlags): Pick<CreateOptions, 'pid' | 'ipc' | 'uts' | 'cgroupns' | 'userns'> {
  const one = (name: keyof NamespaceFlags, modes: readonly string[], wrong: string) => {
    const mode = flags[name] || 'private';
    if (modes.includes(mode) || (modes.includes('container:') && /^container:./.test(mode))) return mode;
    throw badValue(wrong, `there are ${modes.map((known) => (known === 'container:' ? 'container:NAME' : known)).join(', ')}`);
  };
  const ipc = one('ipc', ['private', 'shareable', 'none', 'host', 'container:'], `invalid IPC mode: ${flags.ipc}`);
  const userns = one('userns', ['auto', 'private', 'host'], '--userns: invalid USER mode');
  return {
    pid: one('pid', ['private', 'host', 'container:'], '--pid: invalid PID mode'),
    ipc,
    uts: one('uts', ['private', 'host'], '--uts: invalid UTS mode'),
    cgroupns: one('cgroupns', ['private', 'host'], '--cgroupns: invalid CGROUP mode') as 'private' | 'host',
    userns: userns === 'host' ? 'host' : 'auto',
  };
}
