// Whether a command is ever reused where it would have done something else: thousands of random trees, commands and changes of trees.
// SOUNDNESS_MS: for how long; SOUNDNESS_SEED: where to begin, as a failure says it, or `new` for trials that were never made. Else always the same ones.
// SOUNDNESS_RUNTIME: another OCI runtime, by its name.

import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findRuntime } from '../../src/sandbox/runtime.ts';
import { type Laboratory, openLaboratory } from '../soundness/laboratory.ts';
import { type Narrow, type Pair, tryPairs } from '../soundness/trials.ts';
import { emptyStore } from '../support/stores.ts';

const budgetMs = Number(process.env.SOUNDNESS_MS ?? 60_000);
const { SOUNDNESS_SEED: wanted = '296644870' } = process.env;
const runtime = process.env.SOUNDNESS_RUNTIME ? findRuntime(process.env.SOUNDNESS_RUNTIME) : undefined;
const firstSeed = wanted === 'new' ? Date.now() % 1_000_000_000 : Number(wanted);

describe.for(['a disk', 'a tmpfs', 'directories'] as const)('on %s', (place) => {
  let laboratory: Laboratory;
  const root = emptyStore();
  beforeAll(async () => {
    if (place === 'directories') process.env.TBUILD_DRIVER = 'directory';
    if (place === 'a tmpfs') execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2g', 'tbuild-test', root]);
    laboratory = await openLaboratory(root, runtime);
    delete process.env.TBUILD_DRIVER;
  });
  afterAll(async () => {
    await laboratory?.close();
    if (place === 'a tmpfs') execFileSync('umount', [root]);
  });

  it('what was observed holds only where the command does the same', { timeout: budgetMs + 120_000 }, async () => {
    const pairs = await collect(laboratory, budgetMs, firstSeed);
    const holding = pairs.filter(({ holds }) => holds);
    console.log(`${place}: seeds from ${firstSeed} on: ${pairs.length} changes, ${holding.length} would-be hits`);
    expect(holding.filter(({ difference }) => difference !== undefined)).toEqual([]);
    expect(pairs.filter(({ isTouch, holds }) => isTouch && !holds)).toEqual([]);
    expect(holding.length / pairs.length).toBeGreaterThan(0.4);
  });
});

/** What has the best chance to show that a kind is needed. */
const narrows: Readonly<Record<string, Narrow>> = {
  N: { operations: 'access', change: 'new' },
  L: { operations: 'access', change: 'other' },
  S: { operations: 'lstat', change: 'longer' },
  Z: { operations: 'hole,data', change: 'longer' },
  R: { operations: 'link', change: 'target' },
  D: { operations: 'list', change: 'new' },
  C: { operations: 'map,head', change: 'sameSize' },
  X: { operations: 'xattr', change: 'attributes' },
  A: { operations: 'xattrs', change: 'attributes' },
  O: { operations: 'list', change: 'opaque' },
  P: { operations: 'xattr', change: 'attributes' },
};

describe('every kind of observation is needed: without it', () => {
  let laboratory: Laboratory;
  beforeAll(async () => {
    laboratory = await openLaboratory(emptyStore());
  });
  afterAll(() => laboratory?.close());

  it.for(Object.entries(narrows))('%s, a wrong hit is found', { timeout: 120_000 }, async ([kind, narrow]) => {
    const isFound = ({ difference, holdsWithout }: Pair) => difference !== undefined && holdsWithout(kind);
    const end = performance.now() + 100_000;
    for (let seed = firstSeed; performance.now() < end; seed++) {
      const pairs = await tryPairs(laboratory, seed, narrow);
      if (pairs.some(isFound)) return;
    }
    throw new Error(`without ${kind} nothing wrong was found, from seed ${firstSeed} on`);
  });
});

async function collect(laboratory: Laboratory, ms: number, first: number): Promise<Pair[]> {
  const pairs: Pair[] = [];
  const end = performance.now() + ms;
  for (let seed = first; performance.now() < end; seed++) pairs.push(...(await tryPairs(laboratory, seed)));
  return pairs;
}
