// Makes room in a remote cache, by its address.

import type { CacheAddress } from '../../snapshots/absent-data.ts';
import type { Pruned, PruneOptions } from './backend.ts';
import { openBackend } from './open.ts';

export async function pruneCache(address: CacheAddress, options: PruneOptions, signal: AbortSignal): Promise<Pruned> {
  const backend = await openBackend(address, { isWritten: false, signal });
  try {
    return await backend.prune(options);
  } finally {
    await backend.close();
  }
}
