// What a RUN stands on, taken apart: layers that take part as a whole, and between them gaps of layers that the command is watched reading.
// The native observer says what was asked; what the answers were, then and now, comes from the layers' indexes alone.

import { debug } from '../base/debug.ts';
import { type Digest, sha256 } from '../base/digest.ts';
import type { Observation, Trace } from '../cache/traces.ts';
import type { LowerLayer, Observed, RootLayer } from '../native/with-root.ts';
import type { LayerIndex } from '../snapshots/layer-index.ts';
import { gapTree, mergedTree, resolvePath } from '../snapshots/tree.ts';
import { answer, lookObservation, type View } from './answers.ts';
import type { MountSource } from './mounts.ts';
import { holds } from './observe.ts';
import { indexesOf, type PresentState, type State, type Workshop } from './step.ts';

/** A command that looked at more than this has looked at everything: its inputs then take part as a whole. */
const MAX_OBSERVATIONS = 50_000;

/** Adjacent layers that are watched as one, or the layers of a bind mount. */
interface Gap {
  readonly layers: State;
  /** Of a bind mount: what stands where, for the key does not say where the path of its source led. */
  readonly mounted?: string;
}

export interface RunInputs {
  /** What takes part as a whole while the rest is watched. */
  readonly exact: readonly Digest[];
  /** Everything as a whole. */
  readonly whole: () => readonly Digest[];
  /** Digest of everything, cheaper than as a whole: of a bind mount all layers that it is from. */
  readonly same: Digest;
  /** The gaps of a trace that has everything as a whole. */
  readonly unwatched: Trace['gaps'];
  readonly isWatched: boolean;
  matches(trace: Trace): boolean;
  /** What answers here, gap by gap; null: nothing is there that is watched. */
  views(): readonly (View | null)[];
  /** What was seen, in a trace's form. Undefined: it is not known in full. */
  gapsOf(observed: Observed, told: Told): Trace['gaps'] | undefined;
}

/** What the container's making looks up before the command is there to be watched. */
export interface Told {
  readonly user: string;
  /** Absolute: the working directory, where mounts go. */
  readonly paths: readonly string[];
}

/** `binds`: the sources of bind mounts, in order. */
export function splitInputs(workshop: Workshop, below: State, binds: readonly MountSource[], isTraced: boolean): RunInputs {
  const whole = () => [...treesOf(below), ...binds.map(({ exact }) => sha256(exact().join('\n')))];
  const same = sha256(JSON.stringify([treesOf(below), ...binds.map(({ layers, type, path }) => [type, path, treesOf(layers)])]));
  const unwatched: Trace['gaps'] = [...below, '', ...binds].map(() => null);
  const isWhole = (trace: Trace) => equal(trace.gaps, unwatched) && equal(trace.exact, whole());
  const gaps = [...gapsBetween(below), ...binds.map(gapOf)];
  if (!isTraced || gaps.every((gap) => gap === null)) {
    return {
      exact: whole(),
      whole,
      same,
      unwatched,
      isWatched: false,
      matches: isWhole,
      views: () => unwatched.map(() => null),
      gapsOf: () => undefined,
    };
  }
  const exact = treesOf(below.filter(({ traced }) => !traced));
  let views: (View | null)[] | undefined;
  const lookAt = () => {
    views ??= viewsOf(workshop, below, gaps);
    return views;
  };
  return {
    exact,
    whole,
    same,
    unwatched,
    isWatched: true,
    matches: (trace) => (equal(trace.exact, exact) && gapsHold(trace.gaps, gaps, lookAt)) || isWhole(trace),
    views: lookAt,
    gapsOf: (observed, told) => record(lookAt(), exact.length + 1, observed, told),
  };
}

const treesOf = (layers: State): Digest[] => layers.map(({ tree }) => tree);

/** Layers as with-root takes them: adjacent traced ones as one. */
export function rootLayers(workshop: Workshop, layers: PresentState, isTraced: boolean): RootLayer[] {
  const { layers: store } = workshop;
  const lowers: RootLayer[] = [];
  let gap: (LowerLayer & { readonly index: string })[] | undefined;
  for (const layer of layers) {
    if (!isTraced || !layer.traced) {
      gap = undefined;
      lowers.push(store.lower(layer));
      continue;
    }
    if (!gap) {
      gap = [];
      lowers.push({ traced: gap });
    }
    gap.push({ index: store.indexPath(layer.id), ...store.lower(layer) });
  }
  return lowers;
}

/** Everything in a bind mount is watched, whatever it is from. */
export const allTraced = (layers: PresentState): PresentState => layers.map((layer) => ({ ...layer, traced: true }));

function gapsBetween(below: State): (Gap | null)[] {
  const gaps: State[number][][] = [[]];
  for (const layer of below) {
    if (layer.traced) gaps.at(-1)?.push(layer);
    else gaps.push([]);
  }
  return gaps.map((layers) => (layers.length > 0 ? { layers } : null));
}

function gapOf({ layers, path, type }: MountSource): Gap | null {
  return layers.length > 0 ? { layers, mounted: `${type} ${path}` } : null;
}

function viewsOf(workshop: Workshop, below: State, gaps: readonly (Gap | null)[]): (View | null)[] {
  const root = indexesOf(workshop, below);
  return gaps.map((gap) => {
    if (!gap) return null;
    const indexes = indexesOf(workshop, gap.layers);
    return { tree: gapTree(indexes), indexes, root, mounted: gap.mounted };
  });
}

function gapsHold(seen: Trace['gaps'], gaps: readonly (Gap | null)[], views: () => readonly (View | null)[]): boolean {
  if (seen.length !== gaps.length) return false;
  if (seen.some((observations, place) => (observations === null) !== (gaps[place] === null))) return false;
  return seen.every((observations, place) => observations === null || holds(observations, views()[place] as View));
}

/** `rootGaps`: how many of the views are the root's; those of bind mounts come after them. */
function record(
  views: readonly (View | null)[],
  rootGaps: number,
  { gaps, taint, lost }: Observed,
  told: Told,
): Trace['gaps'] | undefined {
  const present = views.filter((view) => view !== null);
  if (lost || gaps.length !== present.length) return undefined;
  const visited = pathsOnTheWay(present[0]?.root ?? [], told.paths);
  const recorded: (Observation[] | null)[] = [];
  for (const [place, view] of views.entries()) {
    if (!view) {
      recorded.push(null);
      continue;
    }
    const at = present.indexOf(view);
    // Who the user is has its place in the first gap, whichever layers say it.
    const user = at === 0 ? answers(view, [['U', JSON.stringify(told.user)]]) : [];
    const own = place < rootGaps ? looksAt(view, visited) : answers(view, [['M', '']]);
    const asked = answers(view, questionsOf(view, gaps[at] ?? {}, taint !== null));
    if (!user || !own || !asked) return undefined;
    recorded.push(unique([...user, ...own, ...asked]));
  }
  const count = recorded.reduce((sum, gap) => sum + (gap?.length ?? 0), 0);
  return count <= MAX_OBSERVATIONS ? recorded : undefined;
}

type Question = readonly [kind: string, path: string];

/** Every directory and link on the way to what the runner looks up itself. */
function pathsOnTheWay(root: readonly LayerIndex[], paths: readonly string[]): string[] {
  const tree = mergedTree(root);
  const visited = new Set<string>();
  const lookup = (path: string) => {
    visited.add(path);
    return tree.lookup(path);
  };
  for (const path of paths) resolvePath({ lookup }, path, true);
  return [...visited];
}

function looksAt({ tree }: View, paths: readonly string[]): Observation[] {
  const absent = new Set<string>();
  return paths.flatMap((path): Observation[] => {
    // Below an absent path everything is absent.
    const isBelowAbsent = absent.has(path.slice(0, Math.max(0, path.lastIndexOf('/'))));
    const entry = tree.lookup(path);
    if (!entry) absent.add(path);
    if (isBelowAbsent) return [];
    const look = lookObservation(path, entry);
    return entry?.type === 'symlink' ? [look, ['R', path, entry.link]] : [look];
  });
}

/** None that another answers too. After something that the observer could not see whole, every look is a look at everything. */
function questionsOf({ tree }: View, gap: Observed['gaps'][number], isTainted: boolean): Question[] {
  const asked = new Map(Object.entries(gap).map(([kind, paths]) => [kind, new Set(paths)]));
  if (isTainted) {
    const there = [...(asked.get('L') ?? [])].filter((path) => (tree.lookup(path) ?? { type: 'whiteout' }).type !== 'whiteout');
    asked.set('S', new Set([...there, ...(asked.get('S') ?? [])]));
  }
  const isAsked = (kind: string, path: string) => asked.get(kind)?.has(path) === true;
  const isAnswered: Record<string, (path: string) => boolean> = {
    L: (path) => isAsked('S', path),
    Z: (path) => isAsked('S', path) || isAsked('C', path),
    C: (path) => isAsked('S', path),
    R: (path) => isAsked('S', path),
    X: (path) => isAsked('A', path.slice(0, path.indexOf('\0'))),
  };
  return [...asked].flatMap(([kind, paths]) =>
    [...paths].filter((path) => !isAnswered[kind]?.(path)).map((path): Question => [kind, path]),
  );
}

/** Undefined where the indexes have no answer to what was asked: they and the observer saw different things. */
function answers(view: View, questions: readonly Question[]): Observation[] | undefined {
  const observations: Observation[] = [];
  for (const [kind, path] of questions) {
    const value = kind === 'L' ? '' : answer(view, kind, path);
    if (value === undefined) {
      debug(() => `observer: the indexes have no answer to ${kind} ${JSON.stringify(path)}: all inputs count as a whole`);
      return undefined;
    }
    observations.push(kind === 'L' ? lookObservation(path, view.tree.lookup(path)) : [kind, path, value]);
  }
  return observations;
}

function unique(observations: readonly Observation[]): Observation[] {
  return [...new Map(observations.map((observation) => [`${observation[0]} ${observation[1]}`, observation])).values()];
}

function equal(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((one, place) => one === b[place]);
}
