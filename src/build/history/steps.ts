// What is known of a step of an earlier build: what it saw, what it made.

import type { Digest } from '../../base/digest.ts';
import { TbuildError } from '../../base/errors.ts';
import type { Store } from '../../base/store.ts';
import type { BuildRecord, StepOutcome } from '../../cache/builds.ts';
import { type PastTrace, readTrace } from '../../cache/traces.ts';
import type { Records } from '../../images/records.ts';
import { type Difference, differences } from '../../snapshots/differences.ts';
import type { LayerIndex } from '../../snapshots/layer-index.ts';
import { bareName, chainTo } from '../../solve/why/past.ts';
import { findBuild } from './builds.ts';

type Place = Pick<Records, 'store' | 'layers'>;
/** Undefined: it is not known any more. */
type Known = Digest | undefined;

export interface StepDetails {
  /** From 1. */
  readonly number: number;
  readonly outcome: StepOutcome;
  /** When its result was made, in ms since the epoch; undefined: it has none, or it was removed since. */
  readonly made: number | undefined;
  /** How long that took. */
  readonly madeInMs: number | undefined;
  readonly layer: Digest | undefined;
  /** How many inputs took part as a whole. */
  readonly exact: number;
  readonly observed: readonly Seen[];
  /** Undefined: it is a source, or the layers are gone. */
  readonly produced: readonly Difference[] | undefined;
}

/** An observation (docs/cache.md). */
export interface Seen {
  readonly kind: string;
  readonly path: string;
  readonly answer: string;
}

export function stepDetails(place: Place, build: BuildRecord, at: number): StepDetails {
  const outcome = build.steps[at] as StepOutcome;
  const trace = traceOf(place, outcome);
  const gaps = trace?.trace.gaps ?? [];
  return {
    number: at + 1,
    outcome,
    made: trace?.created,
    madeInMs: trace?.duration,
    layer: trace?.layer,
    exact: trace?.trace.exact.length ?? 0,
    observed: unique(gaps.flatMap((gap) => (gap ?? []).map(([kind, path, answer]) => ({ kind, path, answer })))),
    produced: trace && producedBy(place, build, at, trace.layer),
  };
}

/** By number, or words of the instruction or the stage's name; undefined: all but sources. Throws `usage/unknown-step`. */
export function findSteps(build: BuildRecord, wanted: string | undefined): number[] {
  const all = [...build.steps.keys()];
  if (wanted === undefined) return all.filter((at) => build.steps[at]?.how !== 'source');
  if (/^#?\d+$/.test(wanted)) {
    const at = Number(wanted.replace('#', '')) - 1;
    if (build.steps[at]) return [at];
    throw new TbuildError('usage/unknown-step', `build ${build.id} has ${build.steps.length} steps, and no ${wanted}`);
  }
  const words = wanted.toLowerCase();
  const found = all.filter((at) => {
    const { name, stage } = build.steps[at] as StepOutcome;
    return bareName(name).toLowerCase().includes(words) || stage.toLowerCase() === words;
  });
  const executable = found.filter((at) => build.steps[at]?.how !== 'source');
  if (found.length > 0) return executable.length > 0 ? executable : found;
  throw new TbuildError('usage/unknown-step', `build ${build.id} has no step "${wanted}"`, {
    hint: 'a number, words of the instruction, or the name of a stage',
  });
}

/** `step:5` of the last build, `step:BUILD:5` of another; words in place of the number. Throws `usage/unknown-step`, `usage/ambiguous-step`. */
export function stepNamed(store: Store, name: string): { readonly build: BuildRecord; readonly at: number } {
  const [, id, wanted = ''] = /^step:(?:([0-9a-f]{4,12}):)?(.+)$/.exec(name) ?? [];
  const build = findBuild(store, id);
  const [at, another] = findSteps(build, wanted);
  if (another !== undefined) {
    throw new TbuildError('usage/ambiguous-step', `several steps of build ${build.id} are "${wanted}"`, {
      hint: 'tbuild why shows their numbers',
    });
  }
  return { build, at: at as number };
}

/** The layers that a step ended with, bottom first. Throws `store/layer-gone`. */
export function layersOf(place: Place, build: BuildRecord, at: number): Digest[] {
  const layers = knownLayers(place, build, at);
  if (layers.every((id) => id !== undefined && place.layers.get(id))) return layers as Digest[];
  throw new TbuildError('store/layer-gone', `layers of step ${at + 1} of build ${build.id} are not in the store any more`, {
    hint: 'build again',
  });
}

/** Undefined: one of them is gone. */
function stackOf(place: Place, build: BuildRecord, at: number | undefined): LayerIndex[] | undefined {
  const ids = knownLayers(place, build, at);
  const found = ids.flatMap((id) => (id !== undefined && place.layers.get(id) ? [place.layers.index(id)] : []));
  return found.length === ids.length ? found : undefined;
}

function knownLayers(place: Place, build: BuildRecord, at: number | undefined): Known[] {
  return chainTo(build.steps, at).flatMap((step): readonly Known[] => {
    const outcome = build.steps[step] as StepOutcome;
    return outcome.kind === 'image' ? (outcome.layers ?? []) : [traceOf(place, outcome)?.layer];
  });
}

function producedBy(place: Place, build: BuildRecord, at: number, layer: Digest): readonly Difference[] | undefined {
  const below = stackOf(place, build, build.steps[at]?.parent);
  if (!below || !place.layers.get(layer)) return undefined;
  return differences(below, [...below, place.layers.index(layer)]);
}

/** A question has the same answer in many a gap. */
function unique(seen: readonly Seen[]): Seen[] {
  return [...new Map(seen.map((one) => [JSON.stringify(one), one])).values()];
}

function traceOf({ store }: Pick<Place, 'store'>, { trace }: StepOutcome): PastTrace | undefined {
  return trace === undefined ? undefined : readTrace(store.db, trace);
}
