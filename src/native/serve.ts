// The file work of one tbuild process: one `tbuild-runner serve`, started when the first call needs it, JSON lines over its pipes.
// Calls run concurrently. It never decides anything.

import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { TbuildError } from '../base/errors.ts';
import { runnerPath } from './binary.ts';
import { fromNative, type NativeErrorObject } from './errors.ts';

export type Driver = 'erofs' | 'directory';

/** A finished layer that is not in the store yet. Digests are plain hex (BLAKE3). */
export interface LayerSummary {
  readonly id: string;
  readonly tree: string;
  readonly index: string;
  readonly data: string;
  /** Of file contents. */
  readonly bytes: number;
  readonly entries: number;
  readonly dataBytes: number;
}

export interface UnpackedLayer extends LayerSummary {
  readonly diffId: string;
  readonly tarSize: number;
  readonly blobDigest: string;
  readonly blobSize: number;
  readonly split: string | null;
}

export interface TarSummary {
  readonly diffId: string;
  readonly digest: string;
  readonly size: number;
  readonly tarSize: number;
}

export type EntryType = 'file' | 'dir' | 'symlink' | 'char' | 'block' | 'fifo' | 'socket' | 'whiteout';

export type LayerSource = { readonly root: string } | { readonly data: string };

/** One entry of a layer to write: docs/native.md, `writeLayer`. */
export interface LayerEntry {
  readonly path: string;
  readonly type: EntryType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: readonly [number, number];
  readonly implied?: true;
  readonly opaque?: true;
  readonly link?: string;
  readonly hardlink?: string;
  readonly rdev?: readonly [number, number];
  readonly xattrs?: Readonly<Record<string, string>>;
  readonly size?: number;
  readonly digest?: string;
  readonly source?: number;
  readonly at?: string | number;
  readonly text?: string;
}

/** Layers that make one root file system: docs/native.md, `copyTree`. */
export interface LayerStack {
  /** What messages call it. */
  readonly name: string;
  /** The directory of the result that it fills; empty: the result itself. */
  readonly directory: string;
  /** Bottom first. */
  readonly layers: readonly { readonly index: string; readonly data: string }[];
  /** Only what this directory of theirs holds, and for the result itself its attributes. */
  readonly subtree?: string;
}

/** The ids that files of an account which is not root can have. */
export interface OwnIds {
  readonly uids: number;
  readonly gids: number;
  /** Why there is only one. */
  readonly whyOne: string | null;
}

interface Operations {
  /** `ids`: null for root, who has them all. */
  open: [{ root: string }, { dir: string; dead: number; ids: OwnIds | null }];
  close: [Record<string, never>, Record<string, never>];
  lock: [{ path: string; shared?: boolean; wait: boolean }, { lock: number | null }];
  unlock: [{ lock: number }, Record<string, never>];
  scan: [
    { root: string; paths?: readonly string[]; out: string; cache?: string },
    { index: string; entries: number; bytes: number; tree: string },
  ];
  writeLayer: [
    { driver: Driver; out: string; sources: readonly LayerSource[]; entries: readonly LayerEntry[]; diffId?: string },
    LayerSummary,
  ];
  retime: [{ driver: Driver; out: string; index: string; data: string; mtime: number }, LayerSummary];
  indexUpper: [{ dir: string; out: string }, { bytes: number; entries: number }];
  packDir: [{ driver: Driver; out: string; dir: string; overlay: boolean }, LayerSummary];
  unpack: [
    {
      driver: Driver;
      out: string;
      archive: string;
      whiteouts: boolean;
      split: boolean;
      maxBytes?: number;
      keep?: string;
      digest?: string;
      like?: string;
    },
    UnpackedLayer,
  ];
  tar: [
    { index: string; data: string; split?: string; out?: string; compression: 'none' | 'gzip' | 'zstd'; level?: number },
    TarSummary,
  ];
  copyTree: [
    { stacks: readonly LayerStack[]; out: string; mtime?: number; owners?: boolean },
    { entries: number; bytes: number },
  ];
  placeTree: [{ from: string; to: string; delete: boolean }, Record<string, never>];
  fifo: [{ path: string }, Record<string, never>];
  sha256: [{ path: string }, { digest: string; size: number }];
  verify: [{ index: string; data: string }, { problems: string[] }];
  verifyIndex: [{ path: string }, { id: string; tree: string; bytes: number; entries: number }];
  setOwner: [{ path: string; uid: number; gid: number }, Record<string, never>];
  /** `bytes` as the disk has them. */
  measure: [{ path: string }, { bytes: number; entries: number }];
  remove: [{ path: string }, Record<string, never>];
}

export interface Serve {
  call<K extends keyof Operations>(op: K, fields: Operations[K][0]): Promise<Operations[K][1]>;
  /** Ends the process; it removes its lease. */
  close(): Promise<void>;
}

/** By hand: node:readline would cost every start some milliseconds. */
function eachLine(stream: Readable, take: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() as string;
    for (const line of lines) take(line);
  });
}

export function startServe(): Serve {
  let child: ChildProcess | undefined;
  let lastId = 0;
  let failure: TbuildError | undefined;
  const waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();

  const fail = (why: string): void => {
    failure = new TbuildError('native/crashed', `tbuild-runner serve ended unexpectedly: ${why}`);
    for (const { reject } of waiting.values()) reject(failure);
    waiting.clear();
  };

  const start = (): ChildProcess => {
    // In a session of its own: a ^C is for this process, which ends the helper in order.
    const started = spawn(runnerPath(), ['serve'], { stdio: ['pipe', 'pipe', 'inherit'], detached: true });
    started.on('error', (error) => fail(error.message));
    started.on('exit', (code, signal) => fail(signal ?? `exit code ${code}`));
    started.stdin.on('error', () => {}); // 'exit' tells why.
    eachLine(started.stdout, (line) => {
      const answer = JSON.parse(line) as { id: number; ok?: never; error?: NativeErrorObject };
      const call = waiting.get(answer.id);
      waiting.delete(answer.id);
      if (answer.error) call?.reject(fromNative(answer.error));
      else call?.resolve(answer.ok as never);
    });
    return started;
  };

  const call: Serve['call'] = (op, fields) =>
    new Promise((resolve, reject) => {
      if (failure) return reject(failure);
      child ??= start();
      const id = ++lastId;
      waiting.set(id, { resolve: resolve as (value: never) => void, reject });
      child.stdin?.write(`${JSON.stringify({ id, op, ...fields })}\n`);
    });

  const close = async (): Promise<void> => {
    if (!child || failure) return;
    await call('close', {});
    child.removeAllListeners('exit');
    const exited = new Promise((resolve) => child?.once('exit', resolve));
    child.stdin?.end();
    await exited;
  };

  return { call, close };
}
