// `tbuild-runner read`: a part of a file that this process may not open, and its account in a user namespace may. Waits for it:
// it is needed of single, small files.

import { execFileSync } from 'node:child_process';
import { runnerPath } from './binary.ts';
import { fromNative, type NativeErrorObject } from './errors.ts';

export function readAsOwner(path: string, start: number, sizeBytes: number): Buffer {
  try {
    const args = ['read', path, String(start), String(sizeBytes)];
    return execFileSync(runnerPath(), args, { maxBuffer: sizeBytes + 1, stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (cause) {
    const said = String((cause as { readonly stderr?: Buffer }).stderr ?? '');
    if (!said.startsWith('{')) throw cause;
    throw fromNative(JSON.parse(said) as NativeErrorObject);
  }
}
