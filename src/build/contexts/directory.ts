// A context that is a directory of this machine: listed by its ignore rules and scanned, when a step needs it and not before.

import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { scanDirectory } from '../../context/directory.ts';
import type { IgnoreRules } from '../../context/ignore.ts';
import { statCachePath } from '../../context/stat-cache.ts';
import { LayerIndex } from '../../snapshots/layer-index.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import type { ContextResult } from '../../steps/step.ts';

export interface DirectoryOptions {
  /** What takes no part; what was fetched from elsewhere has no such rules (BuildKit: dockerui, MainContext). */
  readonly rules: () => IgnoreRules | undefined;
  /** Whether digests of unchanged files are taken from the last time. */
  readonly remember: boolean;
  /** Asks git for the modes of what it tracks; undefined: files have their own. */
  readonly modes?: (root: string) => Promise<ReadonlyMap<string, number>>;
}

export async function openDirectory(workplace: Workplace, path: string, options: DirectoryOptions): Promise<ContextResult> {
  const root = resolve(path);
  const cache = options.remember ? statCachePath(workplace.store.path('contexts'), root) : undefined;
  const [{ index }, modes] = await Promise.all([
    scanDirectory(workplace.serve, root, { rules: options.rules(), out: workplace.newPath(), cache }),
    options.modes?.(root),
  ]);
  return { kind: 'context', index: LayerIndex.read(index), files: { root }, owner: { uid: 0, gid: 0 }, ...(modes && { modes }) };
}

/** That of a Dockerfile which came alone. */
export async function openEmptyDirectory(workplace: Workplace): Promise<ContextResult> {
  const root = workplace.newPath();
  mkdirSync(root);
  return openDirectory(workplace, root, { rules: () => undefined, remember: false });
}
