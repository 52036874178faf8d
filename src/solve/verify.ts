// `tbuild verify`, and --trace=verify: a RUN whose result is there is executed again on the same inputs, and must make the same. Times aside.
// A difference is a command that makes something else each time; for a result that is reused by what it saw it may be a fault of tbuild's.

import { TbuildError } from '../base/errors.ts';
import type { Step } from '../plan/graph.ts';
import { firstDifference } from '../snapshots/compare.ts';
import { LayerIndex } from '../snapshots/layer-index.ts';
import type { Layer } from '../snapshots/layers.ts';
import type { Prepared, Report, Workshop } from '../steps/step.ts';

export async function checkEqual(
  { layers }: Workshop,
  step: Step,
  prepared: Prepared,
  made: Layer,
  report: Report,
): Promise<void> {
  const { summary } = await prepared.execute(report);
  const difference =
    `blake3:${summary.tree}` === made.tree ? undefined : firstDifference(layers.index(made.id), LayerIndex.read(summary.index));
  layers.discard(summary);
  if (difference === undefined) {
    report.status('executed again: it made the same');
    return;
  }
  throw new TbuildError('run/not-reproducible', `${step.name}: executed again, it made something else: ${difference}`, {
    hint:
      'dates, random bytes, the network and the order of directories are what differs most; if it reads none of them, ' +
      '"# tbuild: trace=off" above it, and a report, please',
  });
}
