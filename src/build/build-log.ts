// The full log of a build, in the store: every line of every step, `#<step> ` before it, whatever the terminal showed of it.
// A log that cannot be written (a full disk) is not a reason to fail: the build says so by failing itself.

import { closeSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Store } from '../base/store.ts';
import type { BuildEvent } from './events.ts';

const KEEP = 500;

export interface BuildLog {
  /** Of the file in logs/. */
  readonly name: string;
  readonly path: string;
  write(event: BuildEvent): void;
  close(): void;
}

export function openLog(store: Store): BuildLog {
  const name = `${new Date().toISOString().replaceAll(':', '')}-${process.pid}.log`;
  const path = store.path('logs', name);
  let fd: number | undefined;
  /** Output of a step that has no line end yet. */
  const partial = new Map<number, string>();

  const append = (text: string): void => {
    try {
      // Made with the first line: a build that fails before it has a plan leaves no empty file.
      fd ??= openSync(path, 'a', 0o600);
      writeSync(fd, text);
    } catch {
      // See above.
    }
  };
  const flush = (step: number): void => {
    const rest = partial.get(step);
    if (rest) append(`#${step} ${rest}\n`);
    partial.delete(step);
  };
  const output = (step: number, text: string): void => {
    const lines = ((partial.get(step) ?? '') + text).split('\n');
    partial.set(step, lines.pop() as string);
    if (lines.length > 0) append(lines.map((line) => `#${step} ${line}\n`).join(''));
  };
  const write = (event: BuildEvent): void => {
    if (event.type === 'plan') append(event.steps.map(({ step, name }) => `#${step} ${name}\n`).join(''));
    else if (event.type === 'output') output(event.step, event.text);
    else if (event.type === 'miss') append(`#${event.step} not cached: ${event.why.text}\n`);
    else if (event.type === 'status') append(`#${event.step} ${event.text}\n`);
    else if (event.type === 'failed' || event.type === 'canceled' || event.type === 'done') {
      flush(event.step);
      const how =
        event.type === 'failed'
          ? `ERROR: ${event.error.message}`
          : event.type === 'canceled'
            ? 'CANCELED'
            : event.cached
              ? 'CACHED'
              : 'DONE';
      append(`#${event.step} ${how}\n`);
    } else if (event.type === 'result') append(`image ${event.image}\n`);
    else if (event.type === 'error') append(`error: ${event.error.message}\n`);
  };
  const close = (): void => {
    if (fd === undefined) return;
    closeSync(fd);
    dropOld(store);
  };
  return { name, path, write, close };
}

/** Names sort by time. */
function dropOld(store: Store): void {
  const names = readdirSync(store.path('logs')).sort();
  for (const name of names.slice(0, Math.max(0, names.length - KEEP))) rmSync(join(store.path('logs'), name), { force: true });
}
