// What a build says of all its RUNs: what they may do, what they are given, what limits they have. From options to what steps work with.

import type { OwnIds } from '../native/serve.ts';
import type { Step } from '../plan/graph.ts';
import type { Rlimit } from '../sandbox/container-config.ts';
import type { ExtraHost } from '../sandbox/files.ts';
import type { Cgroup } from '../sandbox/limits.ts';
import { type NetworkMode, onHostNetwork } from '../sandbox/network.ts';
import type { SshAgent } from '../sandbox/ssh-agent.ts';
import { memoryUpperBytes } from '../sandbox/upper.ts';
import { whatOneIdMeans } from '../sandbox/user-namespace.ts';
import type { DriverChoice } from '../snapshots/driver.ts';
import type { RunSettings } from '../steps/run-root.ts';
import { checkEntitlements, type Entitlements, NOTHING_ALLOWED } from './entitlements.ts';
import { readSecrets, type Secret } from './secrets.ts';
import { openSshAgents, type SshSource } from './ssh.ts';

export interface SandboxOptions {
  readonly secrets: readonly Secret[];
  readonly ssh?: readonly SshSource[];
  readonly network: NetworkMode;
  /** Unset: of their own where the machine can. */
  readonly userns?: 'host';
  /** Another OCI runtime than the bundled one: a name in PATH, or a path. */
  readonly runtime?: string;
  /** What RUN reads is watched, so that it is repeated only for what it saw. `verify`: what would not be repeated is, and must give the same. */
  readonly trace?: 'on' | 'off' | 'verify';
  readonly allow?: Entitlements;
  readonly extraHosts?: readonly ExtraHost[];
  readonly shmBytes?: number;
  readonly rlimits?: readonly Rlimit[];
  readonly cgroup?: Cgroup;
}

/** What containers can have here. */
export interface Machine {
  readonly driver: Pick<DriverChoice, 'userns' | 'takesMemoryUppers' | 'canObserve'>;
  readonly ids: OwnIds | undefined;
}

/** Opened: secrets and agents are looked at once, before anything runs. */
export interface Sandbox {
  readonly secret: (id: string) => Buffer | undefined;
  readonly ssh: (id: string) => SshAgent | undefined;
  /** Throws for what the steps ask for and are not allowed. */
  settingsFor(steps: readonly Step[], slots: number, machine: Machine): Promise<Omit<RunSettings, 'layerOf'>>;
}

export async function openSandbox(options: SandboxOptions): Promise<Sandbox> {
  const secrets = readSecrets(options.secrets);
  const agents = await openSshAgents(options.ssh ?? []);
  const allow = options.allow ?? NOTHING_ALLOWED;
  // A build that is told to be on the host's network has been told enough, as in buildx.
  const networkHost = allow.networkHost || options.network === 'host';
  const { runtime: name } = options;
  const runtime = name === undefined ? undefined : (await import('../sandbox/runtime.ts')).findRuntime(name);
  const secret = (id: string) => secrets.get(id);
  const ssh = (id: string) => agents.get(id);
  return {
    secret,
    ssh,
    settingsFor: async (steps, slots, { driver, ids }) => ({
      network: options.network,
      isRoot: ids === undefined,
      // Another runtime finds the root by its path, where a mapped root may not go.
      userns: options.userns !== 'host' && driver.userns && !runtime ? 'private' : 'host',
      onHostNetwork: once(onHostNetwork),
      account: once(() => (ids?.whyOne ? `ids: ${whatOneIdMeans(ids.whyOne)}` : undefined)),
      secret,
      ssh,
      devices: await checkEntitlements(steps, { ...allow, networkHost }),
      extraHosts: options.extraHosts ?? [],
      shmBytes: options.shmBytes,
      rlimits: options.rlimits ?? [],
      cgroup: options.cgroup,
      runtime,
      trace: options.trace !== 'off' && driver.canObserve === true,
      upperBytes: driver.takesMemoryUppers === false ? undefined : memoryUpperBytes(slots),
    }),
  };
}

/** The text for who asks first. */
function once<Args extends unknown[]>(textOf: (...args: Args) => string | undefined): (...args: Args) => string | undefined {
  let isSaid = false;
  return (...args) => {
    if (isSaid) return undefined;
    isSaid = true;
    return textOf(...args);
  };
}
