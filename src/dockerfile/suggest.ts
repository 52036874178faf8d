// "did you mean": the nearest of the known words, as BuildKit's util/suggest finds it (edit distance below 3), but that swapped letters are one edit.

import { editDistance } from '../base/edit-distance.ts';

export function didYouMean(word: string, known: readonly string[]): string | undefined {
  // The words that are meant are short, and a long one takes long to compare.
  if (word.length > 128 || known.includes(word)) return undefined;
  let nearest: string | undefined;
  let least = 3;
  for (const candidate of known) {
    if (Math.abs(word.length - candidate.length) >= least) continue;
    const distance = editDistance(word, candidate);
    if (distance < least) {
      nearest = candidate;
      least = distance;
    }
  }
  return nearest;
}

/** ` (did you mean x?)`, or nothing. */
export function suggestion(word: string, known: readonly string[]): string {
  const nearest = didYouMean(word, known);
  return nearest === undefined ? '' : ` (did you mean ${nearest}?)`;
}
