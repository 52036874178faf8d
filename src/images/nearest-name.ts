// "Did you mean" for image names. Pure.

import { editDistance } from '../base/edit-distance.ts';

/** The name nearest to what was typed, if it is within a third of its length in edits; a tag that was left out or is another counts little. */
export function nearestName(typed: string, names: readonly string[]): string | undefined {
  if (typed.length > 255) return undefined;
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const name of names) {
    const distance = Math.min(editDistance(typed, name), 1 + editDistance(repositoryOf(typed), repositoryOf(name)));
    if (distance < bestDistance && distance <= Math.max(1, Math.floor(name.length / 3))) {
      best = name;
      bestDistance = distance;
    }
  }
  return best;
}

function repositoryOf(name: string): string {
  const colon = name.lastIndexOf(':');
  return colon > name.lastIndexOf('/') ? name.slice(0, colon) : name;
}
