// The logs of builds that are over: compressed when they are no longer new, and within a budget. Done by builds that had something to execute.

import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import type { Store } from '../../base/store.ts';

/** Nothing is written any more to what has not been written to for so long. */
const QUIET_MS = 3_600_000;
const BUDGET_BYTES = 64 << 20;
const PACKED = '.zst';

/** Undefined: it is not there any more. */
export async function readLog(store: Store, name: string): Promise<string | undefined> {
  const path = store.path('logs', name);
  if (existsSync(path)) return readFileSync(path, 'utf8');
  if (!existsSync(path + PACKED)) return undefined;
  const { zstdDecompressSync } = await import('node:zlib');
  return zstdDecompressSync(readFileSync(path + PACKED)).toString();
}

export async function keepLogsSmall(store: Store, nowMs = Date.now()): Promise<void> {
  for (const name of readdirSync(store.path('logs'))) {
    const path = store.path('logs', name);
    const { mtimeMs = nowMs } = statSync(path, { throwIfNoEntry: false }) ?? {};
    if (name.endsWith('.log') && nowMs - mtimeMs > QUIET_MS) await pack(path);
  }
  let left = BUDGET_BYTES;
  for (const name of readdirSync(store.path('logs')).sort().reverse()) {
    left -= statSync(store.path('logs', name), { throwIfNoEntry: false })?.size ?? 0;
    if (left < 0) rmSync(store.path('logs', name), { force: true });
  }
}

/** Another process may be doing the same: both make the same file. */
async function pack(path: string): Promise<void> {
  const { zstdCompressSync } = await import('node:zlib');
  const unfinished = `${path}.${process.pid}`;
  const { atime, mtime } = statSync(path);
  writeFileSync(unfinished, zstdCompressSync(readFileSync(path)), { mode: 0o600 });
  utimesSync(unfinished, atime, mtime);
  renameSync(unfinished, path + PACKED);
  rmSync(path, { force: true });
}
