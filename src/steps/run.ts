// RUN: a command in a container of its own on what is below it; what it changed becomes one layer.
// Sees every layer below as a whole (it is not observed yet), so its trace has them all exact and every gap empty.

import { sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import { type RootSpec, type RunningRoot, startInRoot } from '../native/with-root.ts';
import type { RunOperation } from '../plan/graph.ts';
import { containerConfig, type Mount, SYSTEM_STUB } from '../sandbox/container-config.ts';
import { hostFiles, placeFiles } from '../sandbox/files.ts';
import { diskUpper } from '../sandbox/upper.ts';
import { resolveUser } from '../snapshots/accounts.ts';
import { cacheDirectories, findSource, lockCaches, type MountSource, mountParts } from './mounts.ts';
import { type Executed, indexesOf, type Prepared, type Report, type Result, type State, type Workshop } from './step.ts';

export interface RunSettings {
  /** What `--network=default` means in this build. */
  readonly network: 'host' | 'none';
  /** Content of a secret; undefined: not given. */
  readonly secret: (id: string) => Buffer | undefined;
  /** Bytes that the tmpfs under a RUN's writes may take. */
  readonly upperBytes: number;
  /** Makes a layer of a part of a context, for bind mounts. */
  readonly layerOf: (prepared: Prepared) => Promise<State[number]>;
}

/** `inputs`: the results that bind and cache mounts come from, in the places of `operation.mounts`. */
export async function prepareRun(
  workshop: Workshop,
  settings: RunSettings,
  operation: RunOperation,
  below: State,
  inputs: readonly (Result | undefined)[],
): Promise<Prepared> {
  refuseWhatIsNotThere(operation);
  const network = operation.network === 'default' ? settings.network : operation.network;
  const sources = await Promise.all(
    operation.mounts.map((mount, place) => findSource(workshop, settings.layerOf, mount, inputs[place])),
  );
  // What a cache begins with is no more told or seen than what is in it later.
  const binds = sources.filter((source, place) => source && operation.mounts[place]?.type === 'bind') as MountSource[];
  return {
    record: recordOf(operation, network),
    exact: [...below.map(({ tree }) => tree), ...binds.flatMap(({ exact }) => exact)],
    inputs: [...below, ...binds.flatMap(({ layers }) => layers)].map(({ id }) => id),
    matches: ({ gaps }) => gaps.every((observations) => observations.length === 0),
    execute: (report) => execute(workshop, settings, { operation, network, below, sources, inputs }, report),
  };
}

function refuseWhatIsNotThere(operation: RunOperation): void {
  if (operation.security === 'insecure')
    throw new TbuildError('unsupported/security-insecure', 'RUN --security=insecure is not supported yet');
  for (const mount of operation.mounts) {
    if (mount.type === 'ssh' && mount.required)
      throw new TbuildError('unsupported/ssh-mount', 'RUN --mount=type=ssh is not supported yet');
  }
}

/** Cache mounts by their target only: neither contents nor ids change what a step is (BuildKit leaves them out too). */
function recordOf(operation: RunOperation, network: 'host' | 'none'): Prepared['record'] {
  const mounts = operation.mounts.map((mount) => {
    if (mount.type === 'bind') return { type: mount.type, target: mount.target, source: mount.source, writable: mount.writable };
    if (mount.type === 'cache') return { type: mount.type, target: mount.target, readonly: mount.readonly };
    return mount;
  });
  const { args, env, user, workdir, platform } = operation;
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
    userns: 'host',
    mounts,
    pipes,
  };
}

interface Job {
  readonly operation: RunOperation;
  readonly network: 'host' | 'none';
  readonly below: State;
  /** Both in the places of the operation's mounts. */
  readonly sources: readonly (MountSource | undefined)[];
  readonly inputs: readonly (Result | undefined)[];
}

async function execute(workshop: Workshop, settings: RunSettings, job: Job, report: Report): Promise<Executed> {
  const gaps = [...job.below, ''].map(() => []);
  const { mounts } = job.operation;
  const caches = await cacheDirectories(workshop, mounts, job.inputs, job.sources);
  const locks = await lockCaches(workshop, mounts, caches);
  try {
    const onDisk =
      workshop.db.get<{ value: string }>('SELECT value FROM settings WHERE name = ?', upperSetting(job)) !== undefined;
    const first = await runOnce(workshop, settings, job, caches, report, onDisk);
    if (first.status === 0 && first.layer) return { summary: first.layer, gaps };
    if (first.status === 0 || onDisk || !first.upperFull) throw exitError(job.operation, first.status);
    report.status('its scratch space in memory was full: running once more on disk');
    const second = await runOnce(workshop, settings, job, caches, report, true);
    // Not before: on some file systems there is no second way, and memory may suffice the next time.
    workshop.db.run('INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)', upperSetting(job), 'disk');
    if (second.status === 0 && second.layer) return { summary: second.layer, gaps };
    throw exitError(job.operation, second.status);
  } finally {
    for (const lock of locks) await workshop.serve.call('unlock', { lock });
  }
}

/** Remembers that this command needs more scratch space than memory gives. */
function upperSetting(job: Job): string {
  return `upper ${sha256(JSON.stringify(job.operation.args))}`;
}

function exitError(operation: RunOperation, status: number): TbuildError {
  const command = operation.args.map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : JSON.stringify(arg))).join(' ');
  return new TbuildError('run/exit', `process "${command}" did not complete successfully: exit code: ${status}`, {
    details: { exitCode: status },
  });
}

async function runOnce(
  workshop: Workshop,
  settings: RunSettings,
  job: Job,
  caches: readonly (string | undefined)[],
  report: Report,
  onDisk: boolean,
): Promise<Awaited<RunningRoot['result']>> {
  const spec = rootSpec(workshop, settings, job, caches, onDisk);
  report.signal.throwIfAborted();
  const running = startInRoot(spec, `run-${process.pid}-${Date.now()}`, 'pipe');
  const stop = () => running.child.kill('SIGKILL');
  report.signal.addEventListener('abort', stop);
  for (const stream of ['stdout', 'stderr'] as const) {
    running.child[stream]?.setEncoding('utf8').on('data', (text: string) => report.output(stream, text));
  }
  try {
    return await running.result;
  } catch (error) {
    report.signal.throwIfAborted();
    throw error;
  } finally {
    report.signal.removeEventListener('abort', stop);
  }
}

function rootSpec(
  workshop: Workshop,
  settings: RunSettings,
  job: Job,
  caches: readonly (string | undefined)[],
  onDisk: boolean,
): RootSpec {
  const { operation, below } = job;
  const user = resolveUser(indexesOf(workshop, below), operation.user);
  const parts = mountParts(workshop, settings.secret, operation, job.sources, caches);
  const scratch = workshop.storePath('mnt');
  const placed = placeFiles(scratch, [...hostFiles(job.network, 'buildkitsandbox'), ...parts.files]);
  const out = workshop.newPath();
  return {
    scratch,
    layers: below.map((layer) => workshop.layers.lower(layer)),
    stub: [...SYSTEM_STUB, ...parts.stub],
    upper: onDisk ? diskUpper(workshop.newPath) : { tmpfs: settings.upperBytes },
    files: placed.files,
    mounts: parts.roots.map(({ layers, writable }) => ({
      layers: layers.map((layer) => workshop.layers.lower(layer)),
      writable,
    })),
    config: containerConfig({
      args: operation.args,
      env: environment(operation, user.home, parts.env),
      cwd: operation.workdir,
      user,
      hostname: 'buildkitsandbox',
      network: job.network,
      terminal: false,
      readonlyRoot: false,
      mounts: outerFirst([...placed.mounts, ...parts.mounts]),
      architecture: operation.platform.architecture,
    }),
    commit: { driver: workshop.driver, out },
  };
}

function environment(operation: RunOperation, home: string | undefined, secrets: readonly string[]): string[] {
  const env = [...operation.env, ...operation.proxyEnv, ...secrets];
  // As runc does: HOME is there for whoever relies on it, from passwd.
  return env.some((pair) => pair.startsWith('HOME=')) ? env : [...env, `HOME=${home ?? '/'}`];
}

/** A mount in another goes on top of it, in whatever order they were written. */
function outerFirst(mounts: readonly Mount[]): Mount[] {
  return mounts.toSorted((a, b) => (a.destination < b.destination ? -1 : a.destination > b.destination ? 1 : 0));
}
