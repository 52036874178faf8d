// What a step saw of the layers below it, written down while it looks; and whether other layers would have shown it the same.
// Nothing of times is seen: a mere touch changes no answer.

import type { Observation } from '../cache/traces.ts';
import { resolveOwner } from '../snapshots/accounts.ts';
import type { Entry, LayerIndex } from '../snapshots/layer-index.ts';
import { type Lookup, mergedTree } from '../snapshots/tree.ts';

export interface Observer {
  /** The tree below; every look-up is an observation. */
  readonly tree: Lookup;
  /** The uid and gid that an owner's name has below; only the numbers are seen, not the passwd file. */
  readonly ownerOf: (user: string, group: string | undefined) => { uid: number; gid: number };
  observations(): Observation[];
}

export function observe(indexes: readonly LayerIndex[]): Observer {
  const below = mergedTree(indexes);
  const seen = new Map<string, Observation>();
  const absent = new Set<string>();
  const record = (observation: Observation): void => {
    seen.set(`${observation[0]} ${observation[1]}`, observation);
  };
  const lookup = (path: string): Entry | undefined => {
    // Below an absent path everything is absent: one observation says it.
    if (hasAbsentParent(absent, path)) return undefined;
    const entry = below.lookup(path);
    if (!entry) absent.add(path);
    for (const observation of describe(path, entry)) record(observation);
    return entry;
  };
  return {
    tree: { lookup },
    ownerOf: (user, group) => {
      const ids = resolveOwner(indexes, user, group);
      record(['U', JSON.stringify([user, group ?? null]), `${ids.uid}:${ids.gid}`]);
      return ids;
    },
    observations: () => [...seen.values()],
  };
}

/** Whether these layers answer every observation in the way it was answered before. */
export function holds(observations: readonly Observation[], indexes: readonly LayerIndex[]): boolean {
  const below = mergedTree(indexes);
  return observations.every(([kind, path, value]) => answer(below, indexes, kind, path) === value);
}

function answer(below: Lookup, indexes: readonly LayerIndex[], kind: string, path: string): string | undefined {
  if (kind === 'U') {
    const [user, group] = JSON.parse(path) as [string, string | null];
    const { uid, gid } = resolveOwner(indexes, user, group ?? undefined);
    return `${uid}:${gid}`;
  }
  return describe(path, below.lookup(path)).find(([seenKind]) => seenKind === kind)?.[2];
}

function describe(path: string, entry: Entry | undefined): Observation[] {
  if (!entry) return [['N', path, '']];
  const looks: Observation = ['L', path, `${entry.type} ${entry.mode.toString(8)} ${entry.uid}:${entry.gid}`];
  if (entry.type === 'symlink') return [looks, ['R', path, entry.link]];
  if (entry.type === 'dir') return [looks, ['A', path, entry.xattrs ? JSON.stringify(entry.xattrs) : '']];
  return [looks];
}

function hasAbsentParent(absent: ReadonlySet<string>, path: string): boolean {
  if (absent.size === 0) return false;
  for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1))
    if (absent.has(path.slice(0, end))) return true;
  return false;
}
