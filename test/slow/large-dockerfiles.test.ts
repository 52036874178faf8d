// Dockerfiles of the size of what a build reads at most: seconds each, so not among the quick ones (test/unit/dockerfile/hostile.test.ts).

import { expect, test } from 'vitest';
import { readDockerfile, repeatLines } from '../support/read-dockerfile.ts';

test.each<readonly [title: string, text: () => string, expected: number | string]>([
  ['a million instructions', () => 'RUN true\n'.repeat(1_000_000), 'dockerfile/too-large'],
  ['a million comments', () => '# a\n'.repeat(1_000_000), 1],
  ['a million continued lines', () => `RUN a${' \\\n b'.repeat(1_000_000)}`, 2],
  ['100,000 heredocs', () => repeatLines(100_000, (i) => `RUN <<E${i}\na\nE${i}\n`), 100_001],
  [
    '50,000 stages, each on the one before',
    () => repeatLines(50_000, (i) => `FROM ${i === 0 ? 'x' : `s${i - 1}`} AS s${i}\nENV e${i}=1\n`),
    'dockerfile/too-large',
  ],
  [
    '50,000 stages, each on the one behind',
    () => repeatLines(50_000, (i) => `FROM x AS s${i}\nCOPY --from=s${(i + 1) % 50_000} / /\n`),
    'dockerfile/circular',
  ],
])('%s', { timeout: 120_000 }, async (_, text, expected) => {
  expect(await readDockerfile(`FROM x\n${text()}`)).toBe(expected);
});
