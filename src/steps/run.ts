// RUN: a command in a container of its own on what is below it; what it changed becomes one layer.
// Sees every layer below as a whole (it is not observed yet), so its trace has them all exact and every gap empty.

import { createHash } from 'node:crypto';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import { type RootSpec, type RunningRoot, startInRoot } from '../native/with-root.ts';
import type { CopyOperation, RunMount, RunOperation } from '../plan/graph.ts';
import { containerConfig, type Mount, SYSTEM_STUB } from '../sandbox/container-config.ts';
import { hostFiles, type SandboxFile } from '../sandbox/files.ts';
import { resolveUser } from '../snapshots/accounts.ts';
import { prepareCopy } from './copy.ts';
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

/** `inputs`: the results that bind mounts come from, in the order of `operation.mounts`. */
export async function prepareRun(
  workshop: Workshop,
  settings: RunSettings,
  operation: RunOperation,
  below: State,
  inputs: readonly (Result | undefined)[],
): Promise<Prepared> {
  refuseWhatIsNotThere(operation);
  const network = operation.network === 'default' ? settings.network : operation.network;
  const binds = await Promise.all(operation.mounts.map((mount, index) => bindState(workshop, settings, mount, inputs[index])));
  const bindTrees = binds.flatMap((state) => state?.map(({ tree }) => tree) ?? []);
  return {
    record: recordOf(operation, network),
    exact: [...below.map(({ tree }) => tree), ...bindTrees],
    inputs: [...below, ...binds.flatMap((state) => state ?? [])].map(({ id }) => id),
    matches: ({ gaps }) => gaps.every((observations) => observations.length === 0),
    execute: (report) => execute(workshop, settings, { operation, network, below, binds }, report),
  };
}

function refuseWhatIsNotThere(operation: RunOperation): void {
  if (operation.security === 'insecure')
    throw new TbuildError('unsupported/security-insecure', 'RUN --security=insecure is not supported yet');
  for (const mount of operation.mounts) {
    if (mount.type === 'ssh' && mount.required)
      throw new TbuildError('unsupported/ssh-mount', 'RUN --mount=type=ssh is not supported yet');
    if (mount.type === 'cache' && mount.from !== undefined) {
      throw new TbuildError('unsupported/cache-mount-from', 'RUN --mount=type=cache with from= is not supported yet');
    }
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

/** The layers a bind mount shows. A context is no layer yet: the part that is mounted becomes one, as a COPY of it would. */
async function bindState(
  workshop: Workshop,
  settings: RunSettings,
  mount: RunMount,
  input: Result | undefined,
): Promise<State | undefined> {
  if (mount.type !== 'bind' || !input) return undefined;
  if (input.kind === 'state') return input.state;
  const copy: CopyOperation = {
    kind: 'copy',
    add: false,
    from: undefined,
    fromContext: true,
    paths: [mount.source === '' ? '/' : mount.source],
    inline: [],
    destination: '/',
    owner: undefined,
    mode: undefined,
    link: false,
    parents: true,
    exclude: [],
    unpack: false,
  };
  return [await settings.layerOf(prepareCopy(workshop, copy, [], input))];
}

interface Job {
  readonly operation: RunOperation;
  readonly network: 'host' | 'none';
  readonly below: State;
  readonly binds: readonly (State | undefined)[];
}

async function execute(workshop: Workshop, settings: RunSettings, job: Job, report: Report): Promise<Executed> {
  const gaps = [...job.below, ''].map(() => []);
  const locks = await lockCaches(workshop, job.operation.mounts);
  try {
    const onDisk =
      workshop.db.get<{ value: string }>('SELECT value FROM settings WHERE name = ?', upperSetting(job)) !== undefined;
    const first = await runOnce(workshop, settings, job, report, onDisk);
    if (first.status === 0 && first.layer) return { summary: first.layer, gaps };
    if (first.status === 0 || onDisk || !first.upperFull) throw exitError(job.operation, first.status);
    report.status('its scratch space in memory was full: running once more on disk');
    workshop.db.run('INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)', upperSetting(job), 'disk');
    const second = await runOnce(workshop, settings, job, report, true);
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
  report: Report,
  onDisk: boolean,
): Promise<Awaited<RunningRoot['result']>> {
  const spec = rootSpec(workshop, settings, job, onDisk);
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

function rootSpec(workshop: Workshop, settings: RunSettings, job: Job, onDisk: boolean): RootSpec {
  const { operation, below } = job;
  const user = resolveUser(indexesOf(workshop, below), operation.user);
  const parts = mountParts(workshop, settings, job);
  const files = [...hostFiles(job.network, 'buildkitsandbox'), ...parts.files];
  const out = workshop.newPath();
  return {
    scratch: workshop.storePath('mnt'),
    layers: below.map((layer) => workshop.layers.lower(layer)),
    stub: [...SYSTEM_STUB, ...parts.stub],
    upper: onDisk ? diskUpper(workshop) : { tmpfs: settings.upperBytes },
    files: files.map(({ name, mode, uid, gid, content }) => ({ name, mode, uid, gid, data: content.toString('base64') })),
    mounts: job.binds.flatMap((state, index) => {
      const mount = operation.mounts[index];
      return state && mount?.type === 'bind'
        ? [{ layers: state.map((layer) => workshop.layers.lower(layer)), writable: mount.writable }]
        : [];
    }),
    config: containerConfig({
      args: operation.args,
      env: environment(operation, user.home, parts.env),
      cwd: operation.workdir,
      user,
      hostname: 'buildkitsandbox',
      network: job.network,
      terminal: false,
      readonlyRoot: false,
      mounts: [...files.map((file) => fileMount(workshop, file)), ...parts.mounts],
      architecture: operation.platform.architecture,
    }),
    commit: { driver: workshop.driver, out },
  };
}

function diskUpper(workshop: Workshop): { directory: string; work: string } {
  const [directory, work] = [workshop.newPath(), workshop.newPath()];
  mkdirSync(directory);
  mkdirSync(work);
  return { directory, work };
}

function environment(operation: RunOperation, home: string | undefined, secrets: readonly string[]): string[] {
  const env = [...operation.env, ...operation.proxyEnv, ...secrets];
  // As runc does: HOME is there for whoever relies on it, from passwd.
  return env.some((pair) => pair.startsWith('HOME=')) ? env : [...env, `HOME=${home ?? '/'}`];
}

function fileMount(workshop: Workshop, file: SandboxFile): Mount {
  const options = file.readonly ? ['bind', 'ro', 'nosuid', 'nodev'] : ['bind', 'nosuid', 'nodev'];
  return { destination: file.destination, type: 'bind', source: workshop.storePath('mnt', 'files', file.name), options };
}

interface MountParts {
  readonly mounts: Mount[];
  readonly files: SandboxFile[];
  readonly stub: { path: string; type: 'dir' | 'file' }[];
  readonly env: string[];
}

/** What `--mount` and heredoc scripts ask for, as mounts, files to mount, mount points and environment. */
function mountParts(workshop: Workshop, settings: RunSettings, job: Job): MountParts {
  const parts: MountParts = { mounts: [], files: [], stub: [], env: [] };
  let bindNumber = 0;
  for (const mount of job.operation.mounts) {
    if (mount.type === 'secret') {
      addSecret(parts, settings, mount);
      continue;
    }
    if (mount.type === 'ssh') continue; // Not required, and there is no agent to forward yet.
    parts.stub.push({ path: stubPath(mount.target), type: 'dir' });
    if (mount.type === 'tmpfs') {
      const size = mount.sizeBytes === undefined ? [] : [`size=${mount.sizeBytes}`];
      parts.mounts.push({
        destination: mount.target,
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'nodev', 'mode=1777', ...size],
      });
    } else if (mount.type === 'cache') {
      const options = mount.readonly ? ['bind', 'ro', 'nodev'] : ['bind', 'nodev'];
      parts.mounts.push({ destination: mount.target, type: 'bind', source: cacheDirectory(workshop, mount), options });
    } else {
      const source = workshop.storePath('mnt', 'm', String(bindNumber++), mount.source.replace(/^\/+/, ''));
      parts.mounts.push({
        destination: mount.target,
        type: 'bind',
        source,
        options: mount.writable ? ['rbind', 'nodev'] : ['rbind', 'ro', 'nodev'],
      });
    }
  }
  for (const { name, content } of job.operation.pipes) {
    parts.files.push({
      name: `pipe-${name}`,
      destination: `/dev/pipes/${name}`,
      content: Buffer.from(content),
      mode: 0o755,
      uid: 0,
      gid: 0,
      readonly: true,
    });
  }
  return parts;
}

function addSecret(parts: MountParts, settings: RunSettings, mount: RunMount & { type: 'secret' }): void {
  const content = settings.secret(mount.id);
  if (!content) {
    if (!mount.required) return;
    throw new TbuildError('run/secret-missing', `secret ${mount.id} is required and was not given`, {
      hint: `give it: --secret id=${mount.id},src=FILE`,
    });
  }
  if (mount.env !== undefined) parts.env.push(`${mount.env}=${content.toString()}`);
  if (mount.target === undefined) return;
  const { mode, uid, gid } = mount;
  parts.files.push({ name: `secret-${parts.files.length}`, destination: mount.target, content, mode, uid, gid, readonly: true });
  parts.stub.push({ path: stubPath(mount.target), type: 'file' });
}

function stubPath(target: string): string {
  return target.replace(/^\/+|\/+$/g, '');
}

type CacheMount = RunMount & { type: 'cache' };

/** Caches of another owner or mode are others (as BuildKit keeps them). */
function cacheDirectory(workshop: Workshop, mount: CacheMount): string {
  const name = createHash('sha256')
    .update(JSON.stringify([mount.id, mount.uid, mount.gid]))
    .digest('hex');
  const path = workshop.storePath('mounts', name);
  if (!existsSync(path)) {
    mkdirSync(path, { recursive: true });
    chownSync(path, mount.uid, mount.gid);
    chmodSync(path, mount.mode);
  }
  return path;
}

/** `locked`: one RUN at a time, in any process. In the order of their paths, so that two RUNs never wait for each other. */
async function lockCaches(workshop: Workshop, mounts: readonly RunMount[]): Promise<number[]> {
  const exclusive = mounts.filter((mount): mount is CacheMount => mount.type === 'cache' && mount.sharing !== 'shared');
  const paths = [...new Set(exclusive.map((mount) => `${cacheDirectory(workshop, mount)}.lock`))].sort();
  const locks: number[] = [];
  for (const path of paths) locks.push((await workshop.serve.call('lock', { path, wait: true })).lock as number);
  return locks;
}

/** Half of the memory that is free, for each of `slots` RUNs. */
export function upperBytes(slots: number): number {
  const available = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
  return Math.floor((Number(available ?? 1 << 20) * 1024) / 2 / slots);
}
