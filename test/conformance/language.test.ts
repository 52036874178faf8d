// The language against the answers of reference implementations, suite by suite. `npm run conformance` prints the same as a table, builds included.

import { expect, test } from 'vitest';
import { ignore, patternTable } from './ignore.ts';
import { parse } from './parse.ts';
import { describeReference, report } from './reference.ts';
import { envVarTable, words, wordsTable } from './words.ts';

for (const suite of [parse, words, envVarTable, wordsTable, ignore, patternTable]) {
  describeReference(suite.name, suite.file, (text) => {
    test(`all ${suite.total}`, async () => {
      const { rows, deviations } = await suite.compare(text);
      expect(report(deviations)).toBe('');
      expect(rows).toBe(suite.total);
    });
  });
}
