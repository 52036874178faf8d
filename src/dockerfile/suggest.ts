// "did you mean": the nearest of the known words, as BuildKit's util/suggest finds it (edit distance below 3), but that swapped letters are one edit.

export function didYouMean(word: string, known: readonly string[]): string | undefined {
  if (known.includes(word)) return undefined;
  let nearest: string | undefined;
  let least = 3;
  for (const candidate of known) {
    const distance = editDistance(word, candidate, least);
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

/** Levenshtein distance in which two neighbours swapped count once, or `limit` when it is not below it. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? beforeLast[j - 2]! + 1 : limit;
      row.push(Math.min(substituted, swapped, last[j]! + 1, row[j - 1]! + 1));
    }
    beforeLast = last;
    last = row;
  }
  return Math.min(last[b.length]!, limit);
}
