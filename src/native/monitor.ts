// A container's monitor, `tbuild-runner monitor`: a process of its own that runs the container, keeps its log, restarts it, checks its health, and tells others.
// docs/native.md, "Monitor". What it knows is in <directory>/state.json; who wants something of it asks on the socket <directory>/control.

import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { TbuildError } from '../base/errors.ts';
import { runnerPath } from './binary.ts';
import { fromNative, type NativeErrorObject } from './errors.ts';
import type { RootSpec } from './with-root.ts';

/** `<directory>/monitor.json`, written anew before each start. Times in milliseconds. */
export interface MonitorSpec {
  readonly id: string;
  /** Without `commit`; the terminal is in `root.config`. */
  readonly root: RootSpec;
  /** argv prefix of another OCI runtime; undefined: the bundled one. */
  readonly runtime?: readonly string[];
  readonly openStdin: boolean;
  /** `path`: the first file of the log; its older ones are `<path>.1` …; null: none is kept. */
  readonly log: { readonly path: string; readonly maxBytes: number | null; readonly maxFiles: number } | null;
  readonly restart: { readonly policy: 'no' | 'always' | 'on-failure' | 'unless-stopped'; readonly maximumRetries: number };
  readonly stop: { readonly signal: string; readonly timeoutMs: number };
  readonly health: {
    /** What `exec` is to run: args, and the rest as the container's own process. */
    readonly args: readonly string[];
    readonly intervalMs: number;
    readonly timeoutMs: number;
    readonly startPeriodMs: number;
    readonly startIntervalMs: number;
    readonly retries: number;
    /** What becomes of a container that has just become unhealthy; undefined: nothing. */
    readonly onFailure?: HealthOnFailure;
  } | null;
  /** null: the configuration says it all (host, none, another container's). */
  readonly network: {
    /** `netavark --config DIRECTORY setup|teardown NETNS`, with `options` on standard input. */
    readonly command: string;
    readonly directory: string;
    readonly options: unknown;
  } | null;
  /** The store's event log, and what is said of the container in it; unset: nobody is told. */
  readonly events?: { readonly path: string; readonly attributes: Readonly<Record<string, string>> };
  /** When it ends for good its directory goes: --rm. */
  readonly removeAtEnd: boolean;
}

/** `kill`: the restart policy decides what follows. */
export type HealthOnFailure = 'none' | 'kill' | 'restart' | 'stop';

/** `<directory>/state.json`: renamed into place at each change. A monitor that lives holds an flock on `<directory>/lock`: without it nothing runs, whatever this says. */
export interface MonitorState {
  readonly status: 'starting' | 'running' | 'paused' | 'restarting' | 'exited';
  /** Of the container's first process, as the host has it; 0: none. */
  readonly pid: number;
  readonly monitorPid: number;
  /** ms since the epoch; 0: never. */
  readonly startedAt: number;
  readonly finishedAt: number;
  /** As a shell's `$?`. */
  readonly exitCode: number;
  readonly oomKilled: boolean;
  /** Why it could not be started, else ''. */
  readonly error: string;
  readonly restartCount: number;
  /** By `stop` or `kill`: not to be restarted. */
  readonly stoppedByUser: boolean;
  readonly health: {
    readonly status: 'starting' | 'healthy' | 'unhealthy';
    readonly failingStreak: number;
    /** The latest five. ms since the epoch. */
    readonly log: readonly { readonly start: number; readonly end: number; readonly exitCode: number; readonly output: string }[];
  } | null;
  /** What netavark answered to `setup`. */
  readonly network: unknown;
}

export interface AttachOptions {
  /** Unset: ctrl-p,ctrl-q. */
  readonly detachKeys?: string | undefined;
  /** Signals to us are for the container. */
  readonly sigProxy: boolean;
}

export type Stream = 'stdin' | 'stdout' | 'stderr';

/** What `control` asks. Times in milliseconds. */
export type ControlRequest =
  | { readonly op: 'stop'; readonly signal?: string; readonly timeoutMs?: number }
  | { readonly op: 'kill'; readonly signal: string }
  | { readonly op: 'pause' | 'unpause' | 'wait' | 'processes' | 'stats' }
  | { readonly op: 'restart'; readonly signal?: string; readonly timeoutMs?: number }
  | { readonly op: 'update'; readonly resources?: unknown; readonly restart?: MonitorSpec['restart'] }
  | { readonly op: 'netconnect' | 'netdisconnect'; readonly options: unknown };

export interface ExecRequest {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd?: string;
  readonly user?: { readonly uid: number; readonly gid: number; readonly groups: readonly number[] };
  readonly privileged?: boolean;
}

export interface ExecOptions {
  readonly tty: boolean;
  readonly interactive: boolean;
  readonly detach: boolean;
  readonly detachKeys?: string | undefined;
}

/** Starts what `<directory>/monitor.json` says. Resolves when the container has started or, with `attach`, to its exit status when it has ended. */
export async function startMonitor(
  directory: string,
  attach?: AttachOptions & { readonly streams: readonly Stream[] },
): Promise<number> {
  if (!attach) {
    await ask(['start', directory]);
    return 0;
  }
  return attached(['start', directory, '--attach', attach.streams.join(','), ...attachFlags(attach)]);
}

/** The exit status of the container; of one that was detached from 0. */
export function attachTo(directory: string, options: AttachOptions & { readonly noStdin: boolean }): Promise<number> {
  return attached(['attach', directory, ...(options.noStdin ? ['--no-stdin'] : []), ...attachFlags(options)]);
}

/** The command's exit status. */
export function execIn(directory: string, request: ExecRequest, options: ExecOptions): Promise<number> {
  const { tty, interactive, detach, detachKeys } = options;
  const flags = [
    ...(tty ? ['--tty'] : []),
    ...(interactive ? ['--interactive'] : []),
    ...(detach ? ['--detach'] : []),
    ...(detachKeys === undefined ? [] : ['--detach-keys', detachKeys]),
  ];
  return attached(['exec', directory, ...flags, JSON.stringify(request)]);
}

export async function control<T = unknown>(directory: string, request: ControlRequest): Promise<T> {
  return JSON.parse((await ask(['control', directory, JSON.stringify(request)])) || 'null') as T;
}

/** What a monitor left that was killed goes; where one lives, nothing is done. */
export async function cleanAfterMonitor(directory: string): Promise<void> {
  await ask(['clean', directory]);
}

function attachFlags({ detachKeys, sigProxy }: AttachOptions): string[] {
  return [...(detachKeys === undefined ? [] : ['--detach-keys', detachKeys]), ...(sigProxy ? [] : ['--no-sig-proxy'])];
}

/** What it printed. */
async function ask(args: readonly string[]): Promise<string> {
  const child = start(args, ['ignore', 'pipe', 'pipe']);
  const [output, errors, status] = await Promise.all([textOf(child.stdout), textOf(child.stderr), endOf(child)]);
  if (status !== 0) throw errorIn(errors, status);
  return output;
}

/**
 * With our streams and terminal. It is in a session of its own: signals come to us, and go on to it, once. Its own errors come on a pipe
 * (`--errors 3`), for its standard error is the container's.
 */
async function attached([verb = '', directory = '', ...rest]: readonly string[]): Promise<number> {
  const child = start([verb, directory, '--errors', '3', ...rest], ['inherit', 'inherit', 'inherit', 'pipe']);
  const errors = child.stdio.at(3) as Readable;
  const said = textOf(errors);
  const stopForwarding = forwardSignals(child);
  try {
    const status = await endOf(child);
    // The monitor may hold the pipe for as long as it lives, which is longer than this where somebody detaches.
    if (!ERROR_STATUSES.includes(status)) return status;
    const text = await said;
    if (text !== '') throw errorIn(text, status);
    return status;
  } finally {
    stopForwarding();
    said.catch(() => {});
    errors.destroy();
  }
}

/** The container's own may be the same. */
const ERROR_STATUSES = [125, 126, 127];

function start(args: readonly string[], stdio: StdioOptions): ChildProcess {
  return spawn(runnerPath(), ['monitor', ...args], { stdio, detached: true });
}

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const;

/** Until the returned function is called. */
function forwardSignals(child: ChildProcess): () => void {
  const forward = (signal: NodeJS.Signals) => void child.kill(signal);
  for (const signal of FORWARDED) process.on(signal, forward);
  return () => {
    for (const signal of FORWARDED) process.off(signal, forward);
  };
}

function endOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', (cause) =>
      reject(new TbuildError('native/crashed', `cannot start tbuild-runner: ${cause.message}`, { cause })),
    );
    child.once('exit', (code, signal) => {
      if (code !== null) resolve(code);
      else reject(new TbuildError('native/crashed', `tbuild-runner was killed by ${signal}`));
    });
  });
}

async function textOf(stream: Readable | null): Promise<string> {
  let text = '';
  for await (const part of (stream as Readable).setEncoding('utf8')) text += part;
  return text;
}

/** The last line is the error; what other programs said may stand before it. */
function errorIn(text: string, status: number): TbuildError {
  const line = text.trimEnd().split('\n').at(-1) ?? '';
  try {
    return fromNative(JSON.parse(line) as NativeErrorObject);
  } catch {
    return new TbuildError('native/crashed', `the monitor ended with status ${status}: ${line}`);
  }
}
