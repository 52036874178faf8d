// What is another in one lock than in the one before it, for people to read. Pure.

import type { Lock } from './document.ts';
import { shownKey } from './keys.ts';

export interface Change {
  /** As people write it. */
  readonly name: string;
  /** A digest or a commit; undefined: it was not locked before, or is not any more. */
  readonly from: string | undefined;
  readonly to: string | undefined;
}

/** By name. */
export function changesOf(before: Lock, after: Lock): Change[] {
  return [
    ...compare(before.images, after.images, ({ digest }) => digest).map((change) => ({
      ...change,
      name: shownKey('image', change.name),
    })),
    ...compare(before.urls, after.urls, ({ checksum }) => checksum),
    ...compare(before.git, after.git, ({ commit }) => commit),
  ];
}

function compare<T>(before: ReadonlyMap<string, T>, after: ReadonlyMap<string, T>, idOf: (entry: T) => string): Change[] {
  const names = [...new Set([...before.keys(), ...after.keys()])].sort();
  return names.flatMap((name) => {
    const [old, now] = [before.get(name), after.get(name)];
    const [from, to] = [old && idOf(old), now && idOf(now)];
    return from === to ? [] : [{ name, from, to }];
  });
}
