// How long properties are tried. In `npm test` a moment, so that they stay true; `npm run fuzz` gives them a minute, and says the seed.

import type { Parameters } from 'fast-check';

const fuzzMs = Number(process.env.FUZZ_MS ?? 0);

/** For `fc.assert`. */
export const budget: Parameters<unknown> =
  fuzzMs > 0
    ? { numRuns: Number.POSITIVE_INFINITY, interruptAfterTimeLimit: fuzzMs, seed: Number(process.env.FUZZ_SEED) }
    : { numRuns: 300, interruptAfterTimeLimit: 5000 };

/** For the test that holds it: on a busy machine the last run may take long. */
export const timeoutMs = Math.max(30_000, 2 * fuzzMs + 30_000);
