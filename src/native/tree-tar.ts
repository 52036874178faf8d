// `tbuild-runner tree-tar`: a tar of what layers show, written straight to a descriptor: a file of ours, or our standard output.

import { spawn } from 'node:child_process';
import { TbuildError } from '../base/errors.ts';
import { runnerPath } from './binary.ts';
import { fromNative, type NativeErrorObject } from './errors.ts';
import type { LayerStack } from './serve.ts';

export interface TreeTarRequest {
  readonly stacks: readonly LayerStack[];
  /** Seconds, for every entry in place of its own. */
  readonly mtime?: number;
}

/** Rejects with the native error, or the signal's reason. */
export function writeTreeTar(request: TreeTarRequest, fd: number, signal: AbortSignal): Promise<void> {
  const child = spawn(runnerPath(), ['tree-tar'], { stdio: ['pipe', fd, 'pipe'] });
  const { stdin, stderr } = child;
  let said = '';
  stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  stdin?.on('error', () => {}); // A child that died early: its end says so.
  stdin?.end(JSON.stringify(request));
  const stop = () => child.kill();
  signal.addEventListener('abort', stop);
  return new Promise<void>((resolve, reject) => {
    child.once('error', (cause) =>
      reject(new TbuildError('native/crashed', `cannot start tbuild-runner: ${cause.message}`, { cause })),
    );
    child.once('close', (code, killed) => {
      if (code === 0) resolve();
      else if (signal.aborted) reject(signal.reason);
      else if (said.startsWith('{')) reject(fromNative(JSON.parse(said) as NativeErrorObject));
      else
        reject(new TbuildError('native/crashed', `tbuild-runner tree-tar ended unexpectedly: ${killed ?? `exit code ${code}`}`));
    });
  }).finally(() => signal.removeEventListener('abort', stop));
}
