// `tbuild-runner files`: what is at a path of a root, as a tar or from one. The root is this machine's, that of a container that runs, or one that
// with-root makes of layers for it. Paths are resolved in the root: no link of a container leads out of it.

import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { TbuildError } from '../base/errors.ts';
import { runnerPath } from './binary.ts';
import { fromNative, type NativeErrorObject } from './errors.ts';
import type { RootSpec } from './with-root.ts';

/** `process`: a container's, by a process of it as the host numbers them. */
export type FilesPlace =
  | { readonly kind: 'here' }
  | { readonly kind: 'process'; readonly pid: number }
  | { readonly kind: 'root'; readonly spec: RootSpec };

export interface FoundFile {
  /** Relative to the root, without links on the way. */
  readonly path: string;
  /** Null: nothing is there. */
  readonly kind: 'file' | 'dir' | 'symlink' | 'char' | 'block' | 'fifo' | 'socket' | null;
  /** The directory that it is in, or would be in, is there. */
  readonly hasParent: boolean;
  /** Of a link: what it leads to. */
  readonly target?: FoundFile | null;
}

export interface WrittenFiles {
  readonly bytes: number;
  /** Devices that were left out. */
  readonly skipped: readonly string[];
}

export interface ReadRequest {
  readonly place: FilesPlace;
  /** As `findFile` gave it. */
  readonly path: string;
  /** What the archive calls it; '': what it holds, without itself. */
  readonly name: string;
  /** Without what else is mounted below it. */
  readonly stays?: boolean;
}

export interface WriteRequest {
  readonly place: FilesPlace;
  readonly directory: string;
  /** Whose everything is to be; unset: as the archive says, and on this machine ours. */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

/** A last link is not followed, but described. */
export async function findFile(place: FilesPlace, path: string): Promise<FoundFile> {
  const child = start(place, ['find', path], 'ignore', 'pipe');
  const [said] = await Promise.all([textOf(child.stdout), endOf(child)]);
  return JSON.parse(said) as FoundFile;
}

/** As a tar to a descriptor of ours. */
export async function readFiles(request: ReadRequest, out: number): Promise<void> {
  await endOf(start(request.place, readWords(request), 'ignore', out));
}

/** From a tar, plain or compressed, of a descriptor of ours. */
export async function writeFiles(request: WriteRequest, input: number): Promise<WrittenFiles> {
  const child = start(request.place, writeWords(request), input, 'pipe');
  const [said] = await Promise.all([textOf(child.stdout), endOf(child)]);
  return JSON.parse(said) as WrittenFiles;
}

/** From one root to another, through a pipe between two processes, each with the rights that it has there. */
export async function copyFiles(from: ReadRequest, to: WriteRequest): Promise<WrittenFiles> {
  const reader = start(from.place, readWords(from), 'ignore', 'pipe');
  const writer = start(to.place, writeWords(to), reader.stdout as Readable, 'pipe');
  // Theirs alone: each is to see the other's end.
  reader.stdout?.destroy();
  const [read, written, said] = await Promise.allSettled([endOf(reader), endOf(writer), textOf(writer.stdout)]);
  const cause = isEndOfPipe(read) && written.status === 'rejected' ? written : read.status === 'rejected' ? read : written;
  if (cause.status === 'rejected') throw cause.reason;
  return JSON.parse((said as PromiseFulfilledResult<string>).value) as WrittenFiles;
}

/** Who writes into a pipe that nobody reads any more is not the one to blame. */
function isEndOfPipe(ended: PromiseSettledResult<void>): boolean {
  return ended.status === 'rejected' && /EPIPE|SIGPIPE|broken pipe/i.test(String((ended.reason as Error).message));
}

const readWords = ({ path, name, stays }: ReadRequest): string[] => ['read', ...(stays ? ['--stay'] : []), path, name];

const writeWords = ({ directory, owner }: WriteRequest): string[] => [
  'write',
  ...(owner ? ['--owner', `${owner.uid}:${owner.gid}`] : []),
  directory,
];

/** What goes wrong is the last line of its standard error. */
function start(
  place: FilesPlace,
  words: readonly string[],
  input: 'ignore' | number | Readable,
  output: 'pipe' | number,
): ChildProcess {
  const stdio: StdioOptions = [input, output, 'pipe', ...(place.kind === 'root' ? (['pipe', 'pipe'] as const) : [])];
  const before = place.kind === 'root' ? ['with-root', '--lifeline', '4', '/dev/fd/3', '--', 'self', 'files'] : ['files'];
  const pid = place.kind === 'process' ? ['--pid', String(place.pid)] : [];
  const child = spawn(runnerPath(), [...before, ...pid, ...words], { stdio });
  for (const stream of child.stdio.slice(3)) stream?.on('error', () => {}); // A child that died early: its end says so.
  if (place.kind === 'root') (child.stdio.at(3) as Writable).end(JSON.stringify(place.spec));
  return child;
}

async function endOf(child: ChildProcess): Promise<void> {
  const ended = new Promise<string | undefined>((resolve, reject) => {
    child.once('error', (cause) =>
      reject(new TbuildError('native/crashed', `cannot start tbuild-runner: ${cause.message}`, { cause })),
    );
    child.once('exit', (code, signal) => resolve(code === 0 ? undefined : (signal ?? `exit code ${code}`)));
  });
  const [how, said] = await Promise.all([ended, textOf(child.stderr)]);
  if (how === undefined) return;
  const line = said.trimEnd().split('\n').at(-1) ?? '';
  if (line.startsWith('{')) throw fromNative(JSON.parse(line) as NativeErrorObject);
  throw new TbuildError('native/crashed', `tbuild-runner files ended unexpectedly: ${how}`);
}

async function textOf(stream: Readable | null): Promise<string> {
  let text = '';
  for await (const part of (stream as Readable).setEncoding('utf8')) text += part;
  return text;
}
