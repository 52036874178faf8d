// The root that a RUN gets, and the container in it: layers, mounts, files, user, environment, limits, as with-root takes them.
// Starts nothing.

import type { RootSpec } from '../native/with-root.ts';
import type { RunDevice, RunOperation } from '../plan/graph.ts';
import { containerConfig, type DeviceEdits, type Mount, type Rlimit, SYSTEM_STUB } from '../sandbox/container-config.ts';
import type { DeviceNode } from '../sandbox/device-node.ts';
import { type ExtraHost, filesOfOwnNetwork, hostFiles, placeFiles } from '../sandbox/files.ts';
import { hostDevices } from '../sandbox/host-devices.ts';
import type { Cgroup } from '../sandbox/limits.ts';
import type { Network, NetworkMode } from '../sandbox/network.ts';
import type { OtherRuntime } from '../sandbox/runtime.ts';
import type { SshAgent } from '../sandbox/ssh-agent.ts';
import { diskUpper } from '../sandbox/upper.ts';
import { MAPPED_IDS, type UserNamespace } from '../sandbox/user-namespace.ts';
import { resolveUser } from '../snapshots/accounts.ts';
import type { HeldCaches } from './cache-mounts.ts';
import { type MountSource, mountParts, mountPoint, stubPath } from './mounts.ts';
import { allTraced, type RunInputs, rootLayers } from './run-inputs.ts';
import type { HeldAgents } from './ssh-mounts.ts';
import { indexesOf, type Prepared, type PresentState, type Result, type State, type Workshop } from './step.ts';

export interface RunSettings {
  /** What `--network=default` means in this build. */
  readonly network: NetworkMode;
  readonly isRoot: boolean;
  /** Content of a secret; undefined: not given. */
  readonly secret: (id: string) => Buffer | undefined;
  /** What a RUN gets that asks for nothing of the host's. */
  readonly userns: UserNamespace;
  /** Of a container that was to have a network of its own and has not: the text for the first to say. */
  readonly onHostNetwork: (why: string) => string | undefined;
  /** What cannot work for who builds: for the first command that is executed to say. */
  readonly account: () => string | undefined;
  /** Undefined: not given. */
  readonly ssh: (id: string) => SshAgent | undefined;
  readonly devices: (requests: readonly RunDevice[]) => DeviceEdits;
  readonly extraHosts: readonly ExtraHost[];
  readonly shmBytes: number | undefined;
  readonly rlimits: readonly Rlimit[];
  readonly cgroup: Cgroup | undefined;
  /** Unset: the bundled one. */
  readonly runtime: OtherRuntime | undefined;
  /** Commands are watched reading layers made of contexts and stages. */
  readonly trace: boolean;
  /** Bytes that the tmpfs under a RUN's writes may take; undefined: they go to disk. */
  readonly upperBytes: number | undefined;
  /** Makes a layer of a part of a context, for bind mounts. */
  readonly layerOf: (prepared: Prepared) => Promise<State[number]>;
}

const HOSTNAME = 'buildkitsandbox';

/** Rights on the host, or its devices, are for who is somebody there. */
export function usernsOf({ security, devices }: RunOperation, { userns }: RunSettings): UserNamespace {
  return security === 'insecure' || devices.length > 0 ? 'host' : userns;
}

export interface Job {
  readonly operation: RunOperation;
  readonly network: Network;
  readonly below: PresentState;
  readonly from: RunInputs;
  /** Both in the places of the operation's mounts. */
  readonly sources: readonly (MountSource | undefined)[];
  readonly inputs: readonly (Result | undefined)[];
  /** Nothing of it is kept. */
  readonly visit?: Visit;
}

/** What a command has while it runs and others may be waiting for. */
export interface Held {
  readonly caches: HeldCaches;
  readonly agents: HeldAgents;
}

export interface Visit {
  readonly args: readonly string[];
  /** On top of the step's. */
  readonly env: readonly string[];
  readonly terminal: boolean;
  readonly terminalSize?: { readonly width: number; readonly height: number };
}

/** And what the container's making looks up, as paths in it. */
export function rootSpec(workshop: Workshop, settings: RunSettings, job: Job, { caches, agents }: Held, onDisk: boolean) {
  const { operation, below, from, visit } = job;
  const { fixed } = workshop.times;
  const user = resolveUser(indexesOf(workshop, below), operation.user);
  const devices = settings.devices(operation.devices);
  const isInsecure = operation.security === 'insecure';
  const userns = usernsOf(operation, settings);
  const parts = mountParts(workshop, settings.secret, operation, job.sources, caches.directories, agents.sockets, userns);
  const scratch = workshop.storePath('mnt');
  const hostname = operation.hostname ?? HOSTNAME;
  const placed = placeFiles(scratch, [...hostFiles(job.network, hostname, settings.extraHosts), ...parts.files]);
  const mounts = [...placed.mounts, ...parts.mounts, ...devices.mounts];
  const spec: RootSpec = {
    scratch,
    layers: rootLayers(workshop, below, from.isWatched),
    stub: [...SYSTEM_STUB, ...parts.stub, ...devices.mounts.map(mountPoint), ...devices.nodes.flatMap(nodePoint)],
    make: workdirToMake(operation, mounts).map((path) => ({ path, uid: user.uid, gid: user.gid })),
    ...(userns === 'private' && { userns: MAPPED_IDS }),
    upper: onDisk || settings.upperBytes === undefined ? diskUpper(workshop.newPath) : { tmpfs: settings.upperBytes },
    files: placed.files,
    ...filesOfOwnNetwork(job.network, hostname, settings.extraHosts),
    mounts: parts.roots.map(({ layers, writable }) => ({
      layers: rootLayers(workshop, from.isWatched ? allTraced(layers) : layers, from.isWatched),
      writable,
    })),
    config: containerConfig({
      args: operation.args,
      env: environment(operation, user.home, [...devices.env, ...parts.env, ...epochVariable(operation, fixed)]),
      cwd: operation.workdir,
      user: { ...user, additionalGids: [...user.additionalGids, ...devices.additionalGids] },
      hostname,
      network: job.network,
      userns,
      bindsSys: settings.runtime?.bindsSys(job.network),
      terminal: visit?.terminal ?? false,
      consoleSize: visit?.terminalSize,
      readonlyRoot: false,
      mounts: outerFirst(mounts),
      shmBytes: settings.shmBytes,
      rlimits: settings.rlimits,
      cgroup: settings.runtime ? settings.runtime.cgroupOf(settings.cgroup, devices.nodes, isInsecure) : settings.cgroup,
      // As CDI has it: a node belongs to the user, unless it is said whose it is.
      devices: [
        ...(isInsecure ? hostDevices() : []),
        ...devices.nodes.map((node) => ({ uid: user.uid, gid: user.gid, ...node })),
      ],
      hooks: devices.hooks,
      isInsecure,
    }),
    commit: visit
      ? null
      : { driver: workshop.driver, out: workshop.newPath(), ofFailed: true, ...(fixed !== undefined && { mtime: fixed }) },
  };
  return { spec, lookedUp: [...LOOKED_UP, operation.workdir, ...spec.stub.map(({ path }) => `/${path}`)] };
}

/** Where the runtime itself mounts, and what it executes in. */
const LOOKED_UP = ['/'];

/** /dev is a file system of the container's own; elsewhere a node needs a file to be mounted on. */
function nodePoint({ path }: DeviceNode): { path: string; type: 'file' }[] {
  return path.startsWith('/dev/') ? [] : [{ path: stubPath(path), type: 'file' }];
}

/** One that the image lacks is made for the user, and stays (BuildKit: executor, MkdirAllAndChown). In a mount it is not the image's. */
function workdirToMake({ workdir }: RunOperation, mounts: readonly Mount[]): string[] {
  const isMounted = mounts.some(({ destination }) => workdir === destination || workdir.startsWith(`${destination}/`));
  return workdir === '/' || isMounted ? [] : [stubPath(workdir)];
}

function environment(operation: RunOperation, home: string | undefined, others: readonly string[]): string[] {
  const env = [...operation.env, ...operation.proxyEnv, ...others];
  // As runc does: HOME is there for whoever relies on it, from passwd.
  return env.some((pair) => pair.startsWith('HOME=')) ? env : [...env, `HOME=${home ?? '/'}`];
}

/** Compilers and packers that write times ask for it; an ARG of the stage says another (reproducible-builds.org/specs/source-date-epoch). */
function epochVariable({ env }: RunOperation, fixed: number | undefined): string[] {
  const isSaid = env.some((pair) => pair.startsWith('SOURCE_DATE_EPOCH='));
  return fixed === undefined || isSaid ? [] : [`SOURCE_DATE_EPOCH=${fixed}`];
}

/** A mount in another goes on top of it, in whatever order they were written. */
function outerFirst(mounts: readonly Mount[]): Mount[] {
  return mounts.toSorted((a, b) => (a.destination < b.destination ? -1 : a.destination > b.destination ? 1 : 0));
}
