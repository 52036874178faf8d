// What a step saw of the layers below it, written down while it looks; and whether other layers would have shown it the same.
// Nothing of times is seen: a mere touch changes no answer.

import type { Observation } from '../cache/traces.ts';
import { resolveOwner } from '../snapshots/accounts.ts';
import type { Entry, LayerIndex } from '../snapshots/layer-index.ts';
import { type Lookup, mergedTree } from '../snapshots/tree.ts';
import { answer, lookObservation, type View } from './answers.ts';

export interface Observer {
  /** The tree below; every look-up is an observation. */
  readonly tree: Lookup;
  /** The uid and gid that an owner's name has below; only the numbers are seen, not the passwd file. */
  readonly ownerOf: (user: string, group: string | undefined) => { uid: number; gid: number };
  observations(): Observation[];
}

export function observe(indexes: readonly LayerIndex[]): Observer {
  const view = rootView(indexes);
  const seen = new Map<string, Observation>();
  const absent = new Set<string>();
  const record = (observation: Observation): void => {
    seen.set(`${observation[0]} ${observation[1]}`, observation);
  };
  const ask = (kind: string, path: string): void => record([kind, path, answer(view, kind, path) as string]);
  const lookup = (path: string): Entry | undefined => {
    // Below an absent path everything is absent: one observation says it.
    if (hasAbsentParent(absent, path)) return undefined;
    const entry = view.tree.lookup(path);
    if (!entry) absent.add(path);
    record(lookObservation(path, entry));
    if (entry?.type === 'symlink') ask('R', path);
    if (entry?.type === 'dir') ask('A', path);
    return entry;
  };
  return {
    tree: { lookup },
    ownerOf: (user, group) => {
      ask('U', JSON.stringify([user, group ?? null]));
      return resolveOwner(indexes, user, group);
    },
    observations: () => [...seen.values()],
  };
}

/** All that is below a step, as it would see it. */
export function rootView(indexes: readonly LayerIndex[]): View {
  return { tree: mergedTree(indexes), indexes, root: indexes };
}

/** Whether every question has the answer that it had before. */
export function holds(observations: readonly Observation[], view: View): boolean {
  return observations.every(([kind, path, value]) => answer(view, kind, path) === value);
}

function hasAbsentParent(absent: ReadonlySet<string>, path: string): boolean {
  if (absent.size === 0) return false;
  for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1))
    if (absent.has(path.slice(0, end))) return true;
  return false;
}
