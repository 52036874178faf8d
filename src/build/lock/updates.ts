// Which entries of a lock are to be asked for anew: all, or those that somebody named as he would name them elsewhere. Pure.

import { TbuildError } from '../../base/errors.ts';
import { didYouMean } from '../../dockerfile/suggest.ts';
import { familiarName, familiarRepository, parseReference } from '../../oci/reference.ts';
import type { Lock } from './document.ts';

/** Names as people write them; none: everything that is asked about. */
export type Updates = readonly string[];

/** Their keys. Throws for a name that is of no entry. */
export function selectUpdates(lock: Lock, names: Updates): Set<string> {
  return new Set(names.flatMap((name) => keysNamed(lock, name)));
}

function keysNamed({ images, urls, git, contexts }: Lock, name: string): string[] {
  const byContext = contexts.get(name);
  const remotes = [...urls.keys(), ...git.keys()];
  const keys = [
    ...(byContext === undefined ? [] : [byContext]),
    ...[...images.keys()].filter((key) => isNamed(key, name)),
    ...remotes.filter((key) => key === name),
  ];
  if (keys.length > 0) return keys;
  const known = [...contexts.keys(), ...[...images.keys()].map(familiarName), ...remotes];
  const meant = didYouMean(name, known);
  throw new TbuildError('usage/not-locked', `the lock has no entry for ${name}`, {
    hint: meant === undefined ? (known.length === 0 ? undefined : `it has ${known.join(', ')}`) : `did you mean ${meant}?`,
  });
}

/** In full, as people write it, or without its tag: that of any. */
const isNamed = (key: string, name: string): boolean =>
  [key, familiarName(key), familiarRepository(parseReference(key))].includes(name);
