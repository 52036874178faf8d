// A container's monitor, `tbuild-runner monitor`: a process of its own that runs the container, keeps its log, restarts it, checks its health, and tells others.
// docs/native.md, "Monitor". What it knows is in <directory>/state.json; who wants something of it asks on the socket <directory>/control.

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
  } | null;
  /** null: the configuration says it all (host, none, another container's). */
  readonly network: {
    /** `netavark --config DIRECTORY setup|teardown NETNS`, with `options` on standard input. */
    readonly command: string;
    readonly directory: string;
    readonly options: unknown;
  } | null;
  /** When it ends for good its directory goes: --rm. */
  readonly removeAtEnd: boolean;
}

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
