// What happens in a store, for `tbuild events`: a line of JSON each in events/log, which every tbuild and every monitor appends to (docs/native.md,
// "Events"). There is no daemon that could be asked. Of two files of a MiB there is what happened lately; a line that cannot be written is lost.

import { mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Store } from './store.ts';

export interface StoreEvent {
  readonly type: 'container' | 'image' | 'volume' | 'network';
  /** docker's words: `create`, `start`, `die` … */
  readonly action: string;
  /** Of what it happened to. */
  readonly id: string;
  readonly attributes: Readonly<Record<string, string>>;
}

const MAX_BYTES = 1 << 20;

export const eventLog = (store: Pick<Store, 'path'>): string => store.path('events', 'log');

/** In one write: lines of several processes do not mix. */
export function recordEvent(store: Pick<Store, 'path'>, event: StoreEvent): void {
  const path = eventLog(store);
  // The clock has milliseconds; the rest keeps the order of what one process does.
  const time = BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n);
  const line = `${JSON.stringify({ ...event, time: String(time) })}\n`;
  try {
    append(path, line);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    append(path, line);
  }
}

function append(path: string, line: string): void {
  writeFileSync(path, line, { flag: 'a', mode: 0o600 });
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > MAX_BYTES) renameSync(path, `${path}.1`);
}
