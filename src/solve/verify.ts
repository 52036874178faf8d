// --trace=verify: a step that would be reused for what it saw is executed all the same, and must make what it made then. Times aside.
// A difference is a command that makes something else each time, or a fault of tbuild's: either way nothing that may be relied on.

import { TbuildError } from '../base/errors.ts';
import type { Step } from '../plan/graph.ts';
import { firstDifference } from '../snapshots/compare.ts';
import { LayerIndex } from '../snapshots/layer-index.ts';
import type { Layer } from '../snapshots/layers.ts';
import type { Prepared, Report, Workshop } from '../steps/step.ts';

export async function checkHit(
  { layers }: Workshop,
  step: Step,
  prepared: Prepared,
  reused: { readonly layer: Layer },
  report: Report,
): Promise<void> {
  const { summary } = await prepared.execute(report);
  const difference =
    `blake3:${summary.tree}` === reused.layer.tree
      ? undefined
      : firstDifference(layers.index(reused.layer.id), LayerIndex.read(summary.index));
  layers.discard(summary);
  if (difference === undefined) return;
  throw new TbuildError('run/not-reusable', `${step.name}: executed again, it made something else: ${difference}`, {
    hint: 'a command that writes times or random bytes is never equal; for any other, "# tbuild: trace=off" above it, and a report, please',
  });
}
