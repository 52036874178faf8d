// RUN: a command in a container of its own on what is below it; what it changed becomes one layer.
// Layers that were made of the context or of stages it is watched reading; of the others its trace has the digests (run-inputs.ts).

import { sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { LayerSummary } from '../native/serve.ts';
import { type RootResult, type RootSpec, startInRoot } from '../native/with-root.ts';
import type { RunOperation } from '../plan/graph.ts';
import { type NetworkMode, networkOf } from '../sandbox/network.ts';
import { isPresent } from '../snapshots/layers.ts';
import { holdCaches } from './cache-mounts.ts';
import { findSource, type MountSource, presentSource } from './mounts.ts';
import { countOomKills, explainFailure, explainStart } from './run-failure.ts';
import { type RunInputs, splitInputs } from './run-inputs.ts';
import { describePlace, keepFailure, type RunPlace } from './run-places.ts';
import { type Held, type Job, type RunSettings, rootSpec, usernsOf, type Visit } from './run-root.ts';
import { holdAgents } from './ssh-mounts.ts';
import { type Executed, type Prepared, presentState, type Report, type Result, type State, type Workshop } from './step.ts';

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
  const first = await runIfWatchable(workshop, settings, job, held, report);
  const why = first instanceof TbuildError ? first.message : first.observerFailed;
  if (!(first instanceof TbuildError) && !why) {
    const gaps = first.observed && from.gapsOf(first.observed, { user: operation.user, paths: first.lookedUp });
    const summary = layerOf(workshop, job, first);
    return gaps ? { summary, gaps } : { summary, gaps: from.unwatched, exact: from.whole() };
  }
  if (!(first instanceof TbuildError) && first.layer) workshop.layers.discard(first.layer);
  report.signal.throwIfAborted();
  report.status(`watching what it reads failed (${why}): running once more without`);
  const second = await runWithRoom(workshop, settings, { ...job, from: { ...from, isWatched: false } }, held, report);
  return { summary: layerOf(workshop, job, second), gaps: from.unwatched, exact: from.whole() };
}

/** The error where it was watched and a mount failed, before anything ran: it may have been the observer's. */
async function runIfWatchable(...run: Parameters<typeof runWithRoom>): Promise<RunEnd | TbuildError> {
  try {
    return await runWithRoom(...run);
  } catch (error) {
    const [, , { from }] = run;
    if (from.isWatched && error instanceof TbuildError && error.code === 'native/mount') return error;
    throw error;
  }
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
