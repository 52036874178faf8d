// What comes after a build, and is no part of it: room is made for the next one, logs are made small, and what a RUN left that failed is taken out.

import { debug } from '../base/debug.ts';
import { TbuildError } from '../base/errors.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { keepWithinBudget } from '../upkeep/budget.ts';
import { keepLogsSmall } from './history/logs.ts';
import type { BuildOutput } from './outputs/export.ts';

/** After a build that made something. What hinders it is no failure of the build's: returned as notes, a line each. */
export async function clearUp(workplace: Workplace): Promise<string[]> {
  // Logs that cannot be compressed stay as they are.
  await keepLogsSmall(workplace.store).catch((error: unknown) => debug(() => `logs are not compressed: ${String(error)}`));
  try {
    const pruned = await keepWithinBudget(workplace, process.env);
    if (pruned)
      debug(
        () => `to keep the build cache within its budget, ${pruned.items.length} things were removed, ${pruned.sizeBytes} bytes`,
      );
    return [];
  } catch (error) {
    return [`the build cache was not kept within its budget: ${(error as Error).message}`];
  }
}

/** Into the directories of the outputs. A path that is not there is no further failure. */
export async function takeOutFailed(
  workplace: Workplace,
  path: string,
  outputs: readonly BuildOutput[],
  signal: AbortSignal,
): Promise<void> {
  const { takeOutInto } = await import('./take-out.ts');
  for (const output of outputs) {
    if (output.type !== 'local') continue;
    await takeOutInto(workplace, path, output.destination, signal).catch((error: unknown) => {
      if (!(error instanceof TbuildError) || error.code !== 'context/not-found') throw error;
    });
  }
}
