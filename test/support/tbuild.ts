// Runs what a user runs: bin/tbuild with the bundle, in a process of its own.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { sharedStore } from './stores.ts';

export const repository = path.join(import.meta.dirname, '../..');
export const fixtures = path.join(repository, 'fixtures');

export interface Options {
  /** Its TBUILD_ROOT; unset: the store that tests share. */
  readonly store?: string;
  readonly cwd?: string;
  /** On top of the tests' own environment; undefined takes a variable away. */
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string | Uint8Array;
  /** After it the command is killed, and its result has code null. */
  readonly timeoutMs?: number;
}

export interface Result {
  /** Null: a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Resolves however the command ends. */
export function tbuild(args: readonly string[], options: Options = {}): Promise<Result> {
  const child = spawn(path.join(repository, 'bin/tbuild'), args, {
    cwd: options.cwd ?? repository,
    env: { ...process.env, TBUILD_ROOT: options.store ?? sharedStore(), ...options.env },
    timeout: options.timeoutMs ?? 300_000,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  // A command that reads no input may be gone before it is written.
  child.stdin.on('error', () => {});
  child.stdin.end(options.input);
  return new Promise((resolve, reject) => {
    child.once('error', reject).once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** The same, for a command that must succeed: its standard output; an error with all that it said when it fails. */
export async function tbuildOk(args: readonly string[], options: Options = {}): Promise<string> {
  const { code, stdout, stderr } = await tbuild(args, options);
  if (code !== 0) throw new Error(`tbuild ${args.join(' ')} exited ${code}\n${stdout}${stderr}`);
  return stdout;
}
