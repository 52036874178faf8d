// One container: `tbuild-runner with-root`, which makes the root, runs an OCI runtime in it and commits what was written.
// The child sees its end by a lifeline pipe: when this process dies, so does everything in the container.

import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { debugLines } from '../base/debug.ts';
import { TbuildError } from '../base/errors.ts';
import { runnerPath } from './binary.ts';
import { fromNative, type NativeErrorObject } from './errors.ts';
import type { Driver, LayerSummary } from './serve.ts';

export type LowerLayer = { readonly erofs: string; readonly loop?: true } | { readonly directory: string };

/** Adjacent layers whose reading is observed, as one, are `traced`. */
export type RootLayer = LowerLayer | { readonly traced: readonly (LowerLayer & { readonly index: string })[] };

/** What was asked of traced layers. */
export interface Observed {
  /** One for each `traced`, those of the root first: paths by the kind of question. */
  readonly gaps: readonly Readonly<Record<string, readonly string[]>>[];
  /** Something was done that can see more than is observed; null: nothing. */
  readonly taint: string | null;
  /** Not everything was written down. */
  readonly lost: boolean;
}

/** docs/native.md, `with-root`. */
export interface RootSpec {
  readonly scratch: string;
  readonly layers: readonly RootLayer[];
  readonly stub: readonly { readonly path: string; readonly type: 'dir' | 'file' }[];
  /** Directories of the result: made, with what is missing above them, where nothing is. */
  readonly make?: readonly { readonly path: string; readonly uid: number; readonly gid: number }[];
  /** What the root is made of belongs to these ids of the host. */
  readonly userns?: { readonly first: number; readonly count: number };
  /** `lasts`: what a program syncs is on the disk then; else the folder is of no use after a crash of the machine. */
  readonly upper:
    | { readonly tmpfs: number }
    | { readonly directory: string; readonly work: string; readonly lasts?: boolean }
    | null;
  /** Written to `<scratch>/files/<name>` before the container starts, content in base64. */
  readonly files: readonly RootFile[];
  /** The container is to have a network of its own: then these stand in the place of the files of the same names. */
  readonly ownNetwork?: readonly RootFile[];
  readonly mounts: readonly { readonly layers: readonly RootLayer[]; readonly writable: boolean }[];
  /** An OCI runtime-spec configuration. */
  readonly config: unknown;
  /** `mtime`: of everything in the layer, in seconds. `ofFailed`: whatever the exit status. */
  readonly commit: { readonly driver: Driver; readonly out: string; readonly mtime?: number; readonly ofFailed?: boolean } | null;
}

interface RootFile {
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly data: string;
}

export interface RootResult {
  /** Exit status as a shell's `$?`. */
  readonly status: number;
  readonly layer: LayerSummary | null;
  /** The upper had no space left at the end. */
  readonly upperFull: boolean;
  /** A process was killed for the container's limit of memory. */
  readonly killedForMemory: boolean;
  /** Null: nothing was traced. */
  readonly observed?: Observed | null;
  /** Why what the command saw is not to be trusted: it must run again, unobserved. */
  readonly observerFailed?: string | null;
}

export interface RunningRoot {
  readonly child: ChildProcess;
  readonly result: Promise<RootResult>;
}

/** An argv prefix; `self` is the bundled runtime. */
const BUNDLED_RUNTIME = ['self', 'run'] as const;

/**
 * `stdio`: what the container is joined to. 'inherit': our streams and terminal; 'no-input': the same with nothing to read;
 * 'pipe': stdout and stderr are the child's streams. The container is in a session of its own: signals reach it only through the child.
 * `onHostNetwork`: called before it starts, where it was to have a network of its own and cannot.
 */
export function startInRoot(
  spec: RootSpec,
  id: string,
  stdio: 'inherit' | 'no-input' | 'pipe',
  runtime: readonly string[] = BUNDLED_RUNTIME,
  onHostNetwork: (why: string) => void = () => {},
): RunningRoot {
  const output = stdio === 'pipe' ? 'pipe' : 'inherit';
  const streams: StdioOptions = [stdio === 'inherit' ? 'inherit' : 'ignore', output, output, 'pipe', 'pipe', 'pipe'];
  const child = spawn(runnerPath(), ['with-root', '--lifeline', '4', '--result', '5', '/dev/fd/3', '--', ...runtime, id], {
    stdio: streams,
    detached: true,
    // What could not be set and does not matter is said among the command's own lines.
    ...(debugLines.hasSubscribers && { env: { ...process.env, TBUILD_DEBUG: '1' } }),
  });
  const specEnd = child.stdio.at(3) as Writable;
  specEnd.on('error', () => {}); // A child that died early: its result says so.
  specEnd.end(JSON.stringify(spec));
  (child.stdio.at(4) as Writable).on('error', () => {});
  return { child, result: readResult(child, onHostNetwork) };
}

async function readResult(child: ChildProcess, onHostNetwork: (why: string) => void): Promise<RootResult> {
  const ended = new Promise<string>((resolve, reject) => {
    child.once('error', (cause) =>
      reject(new TbuildError('native/crashed', `cannot start tbuild-runner: ${cause.message}`, { cause })),
    );
    child.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  let result: (RootResult & { error?: NativeErrorObject }) | undefined;
  const lines = eachLine(child.stdio.at(5) as Readable, (line) => {
    const said = JSON.parse(line);
    if (said.hostNetwork === undefined) result = said;
    else onHostNetwork(said.hostNetwork);
  });
  const [, how] = await Promise.all([lines, ended]);
  if (!result) throw new TbuildError('native/crashed', `the container's process ended without a result (${how})`);
  if (result.error) throw fromNative(result.error);
  return result;
}

/** By hand: node:readline would cost every start some milliseconds. */
function eachLine(stream: Readable, take: (line: string) => void): Promise<void> {
  let rest = '';
  return new Promise((resolve, reject) => {
    stream.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() as string;
      lines.forEach(take);
    });
    stream.once('end', resolve).once('error', reject);
  });
}
