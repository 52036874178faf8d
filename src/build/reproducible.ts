// `--reproducible`: an image that says nothing of when, where and by whom it was built (docs/reproducible.md). Steps work with a time that is always
// the same; the image gets the time that was asked for, from layers made anew where that is another.

import { findTraces, type StepRecord, stepKey, storeTrace } from '../cache/traces.ts';
import { type Plan, stepsBelow, type Target } from '../plan/graph.ts';
import type { Layer } from '../snapshots/layers.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { ContextResult, State } from '../steps/step.ts';

/** 1980-01-01, the first moment that every format can say: zip knows none before it. Nixpkgs has the same. */
export const FIXED_TIME = 315_532_800;

/** Modes of a checkout are its umask's. What an archive says of its files is no matter of the host. */
export function withoutHost(context: ContextResult): ContextResult {
  return context.owner === undefined ? context : { ...context, index: context.index.withGitModes() };
}

/** The layers of a target, those that this build made as old as `time`. */
export async function dateLayers(workplace: Workplace, plan: Plan, target: Target, state: State, time: number): Promise<State> {
  if (time === FIXED_TIME) return state;
  const own = stepsBelow(target, plan.steps).filter(({ op }) => op.kind !== 'image').length;
  const dated = [...state];
  for (let position = state.length - own; position < state.length; position++) {
    dated[position] = await dateLayer(workplace, state[position] as Layer, time);
  }
  return dated;
}

/** Kept as a step's result is: a layer that was dated once is found by its tree. */
async function dateLayer({ store, serve, layers, driver, newPath }: Workplace, layer: Layer, time: number): Promise<Layer> {
  const record: StepRecord = { version: 1, kind: 'date', time };
  for (const { layer: id } of findTraces(store.db, stepKey(record), [layer.tree])) {
    const known = layers.get(id);
    if (known) return known;
  }
  const started = performance.now();
  const present = await layers.present(layer);
  const summary = await serve.call('retime', {
    driver: driver.driver,
    out: newPath(),
    index: layers.indexPath(present.id),
    data: layers.dataPath(present),
    mtime: time,
  });
  const trace = { version: 2, exact: [layer.tree], gaps: [null, null] } as const;
  return layers.commit(summary, driver.driver, undefined, ({ id }) =>
    storeTrace(store.db, record, { trace, layer: id, created: time * 1000, durationMs: performance.now() - started }),
  );
}
