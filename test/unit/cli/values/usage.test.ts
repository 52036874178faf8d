// `--filter` of du and prune.
import { expect, test } from 'vitest';
import { readUsageFilters } from '../../../../src/cli/values/usage.ts';

const NOW = Date.parse('2026-11-21T12:00:00Z');
const DAY = 86_400_000;

test('filters of one name are alternatives', () => {
  expect(readUsageFilters(['type=regular', 'type=exec.cachemount', 'id=ab', 'id=cd'], NOW)).toEqual({
    types: ['regular', 'exec.cachemount'],
    ids: ['ab', 'cd'],
  });
});

test.each([
  ['until=24h', NOW - DAY],
  ['unused-for=1h30m', NOW - 5_400_000],
  ['until=7d', NOW - 7 * DAY],
  ['until=2026-11-20T12:00:00Z', NOW - DAY],
])('%s', (text, moment) => {
  expect(readUsageFilters([text], NOW)).toEqual({ unusedSince: moment });
});

test.each([
  ['until=soon', '--filter until=soon: "soon" is neither a duration nor a time'],
  ['type=regulr', 'there is no type "regulr"'],
  ['label=x', '--filter takes until=…, type=… or id=…, not "label=x"'],
  ['x', '--filter takes until=…, type=… or id=…, not "x"'],
])('%s is refused', (text, message) => {
  expect(() => readUsageFilters([text], NOW)).toThrow(message);
});
