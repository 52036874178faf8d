// The build's contexts, as steps ask for them: each is listed by its ignore rules and scanned when a step needs it, and not before.

import { resolve } from 'node:path';
import { scanDirectory } from '../context/directory.ts';
import { statCachePath } from '../context/stat-cache.ts';
import { LayerIndex } from '../snapshots/layer-index.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { ContextResult } from '../steps/step.ts';

export interface ContextOptions {
  /** A directory. */
  readonly context: string;
  /** Path of the Dockerfile, for its own ignore file; undefined: it came from standard input. */
  readonly dockerfile: string | undefined;
  /** Who doubts the cache doubts the digests of unchanged files too. */
  readonly noCache: boolean;
}

export async function scanContext(
  workplace: Workplace,
  { context, dockerfile, noCache }: ContextOptions,
): Promise<ContextResult> {
  const root = resolve(context);
  const cache = noCache ? undefined : statCachePath(workplace.store.path('contexts'), root);
  const { index } = await scanDirectory(workplace.serve, root, { dockerfile, out: workplace.newPath(), cache });
  return { kind: 'context', root, index: LayerIndex.read(index) };
}
