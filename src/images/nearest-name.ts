// "Did you mean" for image names. Pure.

import { editDistance } from '../base/edit-distance.ts';

/** The name nearest to what was typed, if it is within a third of its length in edits; a tag that was left out or is another counts as one. */
export function nearestName(typed: string, names: readonly string[]): string | undefined {
  if (typed.length > 255) return undefined;
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const name of names) {
    const distance = Math.min(distanceTo(name, typed), 1 + distanceTo(repositoryOf(name), repositoryOf(typed)));
    if (distance >= bestDistance) continue;
    best = name;
    bestDistance = distance;
  }
  return best;
}

/** Infinite: too far for the one to have been meant by the other. */
function distanceTo(name: string, typed: string): number {
  const distance = editDistance(typed, name);
  return distance <= Math.max(1, Math.floor(Math.min(name.length, typed.length) / 3)) ? distance : Number.POSITIVE_INFINITY;
}

function repositoryOf(name: string): string {
  const colon = name.lastIndexOf(':');
  return colon > name.lastIndexOf('/') ? name.slice(0, colon) : name;
}
