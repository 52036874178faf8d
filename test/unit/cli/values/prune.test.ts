import { expect, it } from 'vitest';
import { pruneTest } from '../../../../src/cli/values/prune.ts';

const nowMs = Date.parse('2026-01-31T12:00:00Z');
const thing = { created: nowMs - 3_600_000, labels: { a: '1', keep: '' } };

it.each<[Record<string, string[]>, boolean]>([
  [{}, true],
  [{ until: ['30m'] }, true],
  [{ until: ['2h'] }, false],
  [{ until: ['30m', '2026-01-31T10:00:00Z'] }, false],
  [{ label: ['a'] }, true],
  [{ label: ['a=1'] }, true],
  [{ label: ['a=2'] }, false],
  [{ 'label!': ['keep'] }, false],
  [{ 'label!': ['a=2'] }, true],
  [{ label: ['constructor'] }, false],
])('what goes with %j', (filters, expected) => {
  expect(pruneTest(new Map(Object.entries(filters)), nowMs)(thing)).toBe(expected);
});
