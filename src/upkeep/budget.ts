// After a build that made something: keeps what is kept for later builds within its budget. Costs a query where there is room, which is nearly always.

import { statfsSync } from 'node:fs';
import type { Workplace } from '../snapshots/workplace.ts';
import { freeBytes, type Pruned, prune } from './prune.ts';
import { readBudget } from './settings.ts';

/** What was removed; undefined: nothing had to be. Throws what `readBudget` throws. */
export async function keepWithinBudget(place: Workplace, env: NodeJS.ProcessEnv): Promise<Pruned | undefined> {
  const { blocks, bsize } = statfsSync(place.store.root);
  const { isOn, reservedBytes, maxUsedBytes, minFreeBytes } = await readBudget(env, blocks * bsize);
  if (!isOn) return undefined;
  // Contents of layers alone, which is most of it: an exact sum would walk through every cache mount.
  const known = place.store.db.get<{ sum: number | null }>('SELECT sum(bytes) AS sum FROM layers')?.sum ?? 0;
  if (known < reservedBytes || (known < maxUsedBytes && freeBytes(place) >= minFreeBytes)) return undefined;
  return prune(place, { reservedBytes, maxUsedBytes, minFreeBytes });
}
