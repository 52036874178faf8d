// Earlier builds of what is built now, and which of their steps are which of its own.

import type { Database } from '../../base/database.ts';
import type { Digest } from '../../base/digest.ts';
import { type BuildRecord, buildsOf, listBuilds, type StepOutcome } from '../../cache/builds.ts';

/** What tells which builds are of the same thing. */
export interface Project {
  /** Of the build itself. */
  readonly id: string;
  readonly context: string;
  readonly dockerfile: string;
  readonly names: readonly string[];
}

/** A step of an earlier build. */
export interface PastStep {
  readonly build: BuildRecord;
  readonly place: number;
  readonly outcome: StepOutcome;
}

/** Builds that are looked at. */
const MAX_BUILDS = 30;

/** Newest first: of this Dockerfile and context; where there is none, of these names (a pipeline has a new directory each time). */
export function findPast(db: Database, project: Project): BuildRecord[] {
  const isOther = ({ id }: BuildRecord) => id !== project.id;
  const own = buildsOf(db, project.context, project.dockerfile, MAX_BUILDS + 1).filter(isOther);
  if (own.length > 0 || project.names.length === 0) return own;
  const isNamed = ({ names }: BuildRecord) => names.some((name) => project.names.includes(name));
  return listBuilds(db, 10 * MAX_BUILDS).filter((build) => isOther(build) && isNamed(build));
}

/** The latest step with this key of whose traces `isWanted` is true; that of the same stage before others. */
export function pastWithKey(
  past: readonly BuildRecord[],
  { stage }: StepOutcome,
  key: Digest,
  isWanted: (trace: number) => boolean,
): PastStep | undefined {
  for (const build of past) {
    const found = [...build.steps.entries()].filter(
      ([, { key: itsKey, trace }]) => itsKey === key && trace !== undefined && isWanted(trace),
    );
    const [place, outcome] = found.find(([, step]) => step.stage === stage) ?? found[0] ?? [];
    if (place !== undefined && outcome) return { build, place, outcome };
  }
  return undefined;
}

/** The same step of the latest build that came so far. */
export function pastAtPlace(past: readonly BuildRecord[], steps: readonly StepOutcome[], place: number): PastStep | undefined {
  for (const build of past) {
    const pair = pairStages(steps, build.steps, steps[place] as StepOutcome).find(({ now }) => now === place);
    const outcome = pair?.before === undefined ? undefined : build.steps[pair.before];
    if (outcome?.key !== undefined && pair?.before !== undefined) return { build, place: pair.before, outcome };
  }
  return undefined;
}

/** Whether its stage was built, with something in it that is no source. */
export function hadStage(past: readonly BuildRecord[], step: StepOutcome): boolean {
  const lane = laneOf(step);
  return past.some(({ steps }) => steps.some((outcome) => outcome.key !== undefined && laneOf(outcome) === lane));
}

function pairStages(now: readonly StepOutcome[], then: readonly StepOutcome[], step: StepOutcome): Pair[] {
  const lane = laneOf(step);
  const inLane = (steps: readonly StepOutcome[]) =>
    [...steps.keys()].filter((place) => laneOf(steps[place] as StepOutcome) === lane);
  return align(now, inLane(now), then, inLane(then));
}

/** A stage for a platform. */
function laneOf({ name, stage }: StepOutcome): string {
  return `${/^\[([a-z]+\/[^ \]]+) /.exec(name)?.[1] ?? ''} ${stage}`;
}

/** The instruction alone. */
export const bareName = (name: string): string => name.replace(/^\[[^\]]*\] /, '').replaceAll(/\s+/g, ' ');

/** One of them undefined: it is new, or gone. */
export interface Pair {
  readonly now: number | undefined;
  readonly before: number | undefined;
}

/** More than this many comparisons of instructions are not made. */
const MAX_COMPARISONS = 1_000_000;

/** Which steps are the same: by their text, in order; between those, by their kind. `places`: of the steps to look at. */
export function align(
  now: readonly StepOutcome[],
  nowPlaces: readonly number[],
  then: readonly StepOutcome[],
  thenPlaces: readonly number[],
): Pair[] {
  const a = nowPlaces.map((place) => ({ place, kind: now[place]?.kind, text: bareName(now[place]?.name ?? '') }));
  const b = thenPlaces.map((place) => ({ place, kind: then[place]?.kind, text: bareName(then[place]?.name ?? '') }));
  const same = sameSteps(a, b);
  const pairs: Pair[] = [];
  let [i, j] = [0, 0];
  for (const [nextA, nextB] of [...same, [a.length, b.length] as const]) {
    // What lies between is paired in order, as far as kinds agree.
    const left = b.slice(j, nextB);
    for (const { place, kind } of a.slice(i, nextA)) {
      const match = left.findIndex((candidate) => candidate.kind === kind);
      for (const gone of match < 0 ? [] : left.splice(0, match)) pairs.push({ now: undefined, before: gone.place });
      pairs.push({ now: place, before: match < 0 ? undefined : left.shift()?.place });
    }
    for (const { place } of left) pairs.push({ now: undefined, before: place });
    if (nextA < a.length) pairs.push({ now: a[nextA]?.place, before: b[nextB]?.place });
    [i, j] = [nextA + 1, nextB + 1];
  }
  return pairs;
}

/** Positions in both. Mostly all but a few instructions in the middle are the same: only those cost more than a look. */
function sameSteps(a: readonly { text: string }[], b: readonly { text: string }[]): [number, number][] {
  let start = 0;
  while (start < a.length && start < b.length && a[start]?.text === b[start]?.text) start++;
  let [endA, endB] = [a.length, b.length];
  while (endA > start && endB > start && a[endA - 1]?.text === b[endB - 1]?.text) [endA, endB] = [endA - 1, endB - 1];
  const isFeasible = (endA - start) * (endB - start) <= MAX_COMPARISONS;
  const middle = isFeasible ? commonSequence(a.slice(start, endA), b.slice(start, endB)) : [];
  return [
    ...Array.from({ length: start }, (_, i): [number, number] => [i, i]),
    ...middle.map(([i, j]): [number, number] => [start + i, start + j]),
    ...Array.from({ length: a.length - endA }, (_, i): [number, number] => [endA + i, endB + i]),
  ];
}

/** The longest common subsequence, as positions in both. */
function commonSequence(a: readonly { text: string }[], b: readonly { text: string }[]): [number, number][] {
  const lengths = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    const [row, below] = [lengths[i] as Uint32Array, lengths[i + 1] as Uint32Array];
    for (let j = b.length - 1; j >= 0; j--) {
      row[j] = a[i]?.text === b[j]?.text ? (below[j + 1] as number) + 1 : Math.max(below[j] as number, row[j + 1] as number);
    }
  }
  const common: [number, number][] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i]?.text === b[j]?.text) common.push([i++, j++]);
    else if ((lengths[i + 1]?.[j] ?? 0) >= (lengths[i]?.[j + 1] ?? 0)) i++;
    else j++;
  }
  return common;
}

/** Places of the steps whose layers a step has below it and in it, bottom first. */
export function chainTo(steps: readonly StepOutcome[], place: number | undefined): number[] {
  const chain: number[] = [];
  for (let at = place; at !== undefined; at = steps[at]?.parent) chain.push(at);
  return chain.reverse();
}
