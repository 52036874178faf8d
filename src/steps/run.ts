// RUN: a command in a container of its own on what is below it; what it changed becomes one layer.
// Layers that were made of the context or of stages it is watched reading; of the others its trace has the digests (run-inputs.ts).

import { sha256 } from '../base/digest.ts';
import type { LayerSummary } from '../native/serve.ts';
import { type RootResult, type RootSpec, startInRoot } from '../native/with-root.ts';
import type { RunDevice, RunOperation } from '../plan/graph.ts';
import { containerConfig, type DeviceEdits, type Mount, type Rlimit, SYSTEM_STUB } from '../sandbox/container-config.ts';
import type { DeviceNode } from '../sandbox/device-node.ts';
import { type ExtraHost, filesOfOwnNetwork, hostFiles, placeFiles } from '../sandbox/files.ts';
import { hostDevices } from '../sandbox/host-devices.ts';
import type { Cgroup } from '../sandbox/limits.ts';
import { type Network, type NetworkMode, networkOf } from '../sandbox/network.ts';
import type { OtherRuntime } from '../sandbox/runtime.ts';
import type { SshAgent } from '../sandbox/ssh-agent.ts';
import { diskUpper } from '../sandbox/upper.ts';
import { MAPPED_IDS, type UserNamespace } from '../sandbox/user-namespace.ts';
import { resolveUser } from '../snapshots/accounts.ts';
import { isPresent } from '../snapshots/layers.ts';
import { type HeldCaches, holdCaches } from './cache-mounts.ts';
import { findSource, type MountSource, mountParts, mountPoint, presentSource, stubPath } from './mounts.ts';
import { countOomKills, explainFailure, explainStart } from './run-failure.ts';
import { allTraced, type RunInputs, rootLayers, splitInputs } from './run-inputs.ts';
import { describePlace, keepFailure, type RunPlace } from './run-places.ts';
import { type HeldAgents, holdAgents } from './ssh-mounts.ts';
import {
  type Executed,
  indexesOf,
  type Prepared,
  type PresentState,
  presentState,
  type Report,
  type Result,
  type State,
  type Workshop,
} from './step.ts';

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

/** `inputs`: the results that bind and cache mounts come from, in the places of `operation.mounts`. */
export async function prepareRun(
  workshop: Workshop,
  settings: RunSettings,
  operation: RunOperation,
  below: State,
  inputs: readonly (Result | undefined)[],
): Promise<Prepared> {
  const network = operation.network === 'default' ? settings.network : operation.network;
  const sources = await Promise.all(
    operation.mounts.map((mount, place) => findSource(workshop, settings.layerOf, mount, inputs[place])),
  );
  // What a cache begins with is no more told or seen than what is in it later.
  const binds = sources.filter((source, place) => source && operation.mounts[place]?.type === 'bind') as MountSource[];
  const isTraced = settings.trace && operation.trace !== 'off';
  const split: Parameters<typeof withData>[2] = (layers, mounted) => splitInputs(workshop, layers, mounted, isTraced);
  const from = split(below, binds);
  return {
    record: recordOf(operation, network, settings),
    exact: from.exact,
    ...(from.isWatched && { whole: from.whole, same: from.same }),
    inputs: [...below, ...binds.flatMap(({ layers }) => layers)].map(({ id }) => id),
    matches: from.matches,
    views: from.views,
    execute: async (report) => {
      const job = {
        operation,
        network: networkOf(network, settings.isRoot),
        ...(await withData(workshop, { below, binds, from, sources }, split)),
        inputs,
      };
      return execute(workshop, settings, job, report);
    },
  };
}

interface Stands {
  readonly below: State;
  readonly binds: readonly MountSource[];
  readonly from: RunInputs;
  readonly sources: readonly (MountSource | undefined)[];
}

/** What was decided from indexes alone is to be mounted now. */
async function withData(
  workshop: Workshop,
  { below, binds, from, sources }: Stands,
  split: (below: State, binds: readonly MountSource[]) => RunInputs,
) {
  const present = await presentState(workshop, below);
  const mounted = await Promise.all(sources.map((source) => presentSource(workshop, source)));
  const isAsItWas = [below, ...binds.map(({ layers }) => layers)].every((layers) => layers.every(isPresent));
  // What was fetched may be another layer, with the same tree and its contents elsewhere.
  const sameBinds = () => binds.map((bind) => mounted[sources.indexOf(bind)] as MountSource);
  return { below: present, from: isAsItWas ? from : split(present, sameBinds()), sources: mounted };
}

/**
 * Cache mounts by their target only: neither contents nor ids change what a step is. Of added hosts the names alone (BuildKit:
 * solver/llbsolver/ops/exec.go). Limits are no part of it: what they change is whether a command ends well.
 */
function recordOf(operation: RunOperation, network: NetworkMode, settings: RunSettings): Prepared['record'] {
  const mounts = operation.mounts.map((mount) => {
    if (mount.type === 'bind') return { type: mount.type, target: mount.target, source: mount.source, writable: mount.writable };
    if (mount.type === 'cache') return { type: mount.type, target: mount.target, readonly: mount.readonly };
    return mount;
  });
  const { args, env, user, workdir, platform, hostname } = operation;
  const devices = settings.devices(operation.devices).names;
  const hosts = settings.extraHosts.map(({ name }) => name);
  const pipes = operation.pipes.map(({ name, content }) => ({ name, content: sha256(content) }));
  return {
    version: 1,
    kind: 'run',
    args,
    env,
    user,
    workdir,
    platform,
    network,
    security: operation.security,
    userns: usernsOf(operation, settings),
    mounts,
    pipes,
    hostname,
    devices: devices.length > 0 ? devices : undefined,
    extraHosts: hosts.length > 0 ? hosts : undefined,
  };
}

/** Rights on the host, or its devices, are for who is somebody there. */
function usernsOf({ security, devices }: RunOperation, { userns }: RunSettings): UserNamespace {
  return security === 'insecure' || devices.length > 0 ? 'host' : userns;
}

interface Job {
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
interface Held {
  readonly caches: HeldCaches;
  readonly agents: HeldAgents;
}

async function execute(workshop: Workshop, settings: RunSettings, job: Job, report: Report): Promise<Executed> {
  const account = settings.account();
  if (account !== undefined) report.status(account);
  const executed = await holding(workshop, settings, job, report, (held) =>
    executeWatched(workshop, settings, job, held, report),
  );
  return { ...executed, place: describePlace(job) };
}

async function holding<T>(
  workshop: Workshop,
  settings: RunSettings,
  { operation: { mounts }, inputs, sources }: Job,
  report: Report,
  work: (held: Held) => Promise<T>,
): Promise<T> {
  const caches = await holdCaches(workshop, mounts, inputs, sources, report);
  try {
    const agents = await holdAgents(workshop, settings.ssh, mounts);
    try {
      return await work({ caches, agents });
    } finally {
      await agents.release();
    }
  } finally {
    await caches.release();
  }
}

/** Once more without being watched when that went wrong: what the command was shown then is not what there is. */
async function executeWatched(
  workshop: Workshop,
  settings: RunSettings,
  job: Job,
  held: Held,
  report: Report,
): Promise<Executed> {
  const { from, operation } = job;
  const first = await runWithRoom(workshop, settings, job, held, report);
  if (!first.observerFailed) {
    const gaps = first.observed && from.gapsOf(first.observed, { user: operation.user, paths: first.lookedUp });
    return gaps
      ? { summary: layerOf(workshop, job, first), gaps }
      : { summary: layerOf(workshop, job, first), gaps: from.unwatched, exact: from.whole() };
  }
  if (first.layer) workshop.layers.discard(first.layer);
  report.signal.throwIfAborted();
  report.status(`watching what it reads failed (${first.observerFailed}): running once more without`);
  const second = await runWithRoom(workshop, settings, { ...job, from: { ...from, isWatched: false } }, held, report);
  return { summary: layerOf(workshop, job, second), gaps: from.unwatched, exact: from.whole() };
}

function layerOf(workshop: Workshop, job: Job, end: RunEnd): LayerSummary {
  if (end.status === 0 && end.layer) return end.layer;
  if (end.layer) keepFailure(workshop, job, end.layer);
  throw explainFailure(job.operation, end, end.kills);
}

/** How a command ended, and what its container's making looked at. */
interface RunEnd extends RootResult {
  readonly lookedUp: readonly string[];
  /** Of the kernel, for want of memory, before it began. */
  readonly kills: number;
}

/** In memory first; once more on disk when that was full. */
async function runWithRoom(workshop: Workshop, settings: RunSettings, job: Job, held: Held, report: Report): Promise<RunEnd> {
  const known = workshop.db.get<{ value: string }>('SELECT value FROM settings WHERE name = ?', upperSetting(job));
  const onDisk = known !== undefined || settings.upperBytes === undefined;
  const kills = countOomKills();
  const first = await runOnce(workshop, settings, job, held, report, onDisk);
  if (first.status === 0 || onDisk || !first.upperFull || first.observerFailed) return { ...first, kills };
  report.status('its scratch space in memory was full: running once more on disk');
  const second = await runOnce(workshop, settings, job, held, report, true);
  // Not before: on some file systems there is no second way, and memory may suffice the next time.
  workshop.db.run('INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)', upperSetting(job), 'disk');
  return { ...second, kills };
}

/** Remembers that this command needs more scratch space than memory gives. */
function upperSetting(job: Job): string {
  return `upper ${sha256(JSON.stringify(job.operation.args))}`;
}

async function runOnce(
  workshop: Workshop,
  settings: RunSettings,
  job: Job,
  held: Held,
  report: Report,
  onDisk: boolean,
): Promise<Omit<RunEnd, 'kills'>> {
  const { spec, lookedUp } = rootSpec(workshop, settings, job, held, onDisk);
  report.signal.throwIfAborted();
  const sayHostNetwork = (why: string) => {
    const text = settings.onHostNetwork(why);
    if (text !== undefined) report.status(text);
  };
  const running = startInRoot(spec, `run-${process.pid}-${Date.now()}`, 'pipe', settings.runtime?.command, sayHostNetwork);
  const stop = () => running.child.kill('SIGKILL');
  report.signal.addEventListener('abort', stop);
  for (const stream of ['stdout', 'stderr'] as const) {
    running.child[stream]?.setEncoding('utf8').on('data', (text: string) => report.output(stream, text));
  }
  try {
    return { ...(await running.result), lookedUp };
  } catch (error) {
    report.signal.throwIfAborted();
    throw explainStart(job.operation, error);
  } finally {
    report.signal.removeEventListener('abort', stop);
  }
}

/**
 * A visit where a RUN was: another command with its files, mounts, environment, user and directory; nothing of it is kept. Secrets and agents are
 * those of `settings`, where they are given. `start` gets what there is to start, while caches and agents are held.
 */
export async function enterPlace<T>(
  workshop: Workshop,
  settings: RunSettings,
  place: RunPlace,
  visit: Visit,
  start: (spec: RootSpec) => Promise<T>,
): Promise<T> {
  const { network } = place;
  const state = await presentState(workshop, place.state);
  const sources = await Promise.all(place.sources.map((source) => presentSource(workshop, source)));
  const mounts = place.operation.mounts.map((mount) => ('required' in mount ? { ...mount, required: false } : mount));
  const env = [...place.operation.env, ...visit.env];
  const operation = { ...place.operation, mounts, args: visit.args, env };
  const from = splitInputs(workshop, state, [], false);
  const job: Job = { operation, network, below: state, from, sources, inputs: [], visit };
  const report: Report = { output: () => {}, status: () => {}, signal: new AbortController().signal };
  return holding(workshop, settings, job, report, (held) => start(rootSpec(workshop, settings, job, held, true).spec));
}

export interface Visit {
  readonly args: readonly string[];
  /** On top of the step's. */
  readonly env: readonly string[];
  readonly terminal: boolean;
  readonly terminalSize?: { readonly width: number; readonly height: number };
}

function rootSpec(workshop: Workshop, settings: RunSettings, job: Job, { caches, agents }: Held, onDisk: boolean) {
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
