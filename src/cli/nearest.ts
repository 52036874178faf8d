// "Did you mean": the word nearest to what was typed. Pure.

import { editDistance } from '../base/edit-distance.ts';

/** The candidate within a third of its length in edits (a swap counts as one), else undefined. */
export function nearest(typed: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    // Beyond this no word is near, and the table below stays small whatever was typed.
    if (Math.abs(candidate.length - typed.length) > 3) continue;
    const distance = editDistance(typed, candidate);
    if (distance < bestDistance && distance <= Math.max(1, Math.floor(candidate.length / 3))) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}
