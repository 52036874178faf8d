// The times in an image's config and history.
import { expect, test } from 'vitest';
import { assembleConfig, goTime } from '../../../src/build/assemble.ts';
import type { ImageConfig } from '../../../src/oci/config.ts';
import type { PlannedHistory, Target } from '../../../src/plan/graph.ts';

const base = (created?: string): PlannedHistory => ({
  entry: { created_by: 'base', ...(created !== undefined && { created }) },
  step: undefined,
  isBase: true,
});
const line = (step?: number): PlannedHistory => ({
  entry: { created_by: 'own', ...(step === undefined && { empty_layer: true }) },
  step,
});

/** `created` of each line, and of the image; step n was made n seconds after the epoch. */
function times(
  history: readonly PlannedHistory[],
  epoch?: number,
): { history: (string | undefined)[]; created: string | undefined } {
  const platform = { os: 'linux', architecture: 'amd64' };
  const target: Target = { stage: '0', state: undefined, platform, author: undefined, config: {}, history };
  const config = JSON.parse(assembleConfig(target, [], (step) => step * 1000, epoch).toString()) as ImageConfig;
  return { history: config.history?.map(({ created }) => created) ?? [], created: config.created };
}

const at = (seconds: number) => goTime(seconds * 1000);

test('a line without a layer is as old as the layer before it, before the first as that', () => {
  expect(times([base('2001-01-01T00:00:00Z'), line(), line(5), line(), line(7), line()])).toEqual({
    history: ['2001-01-01T00:00:00Z', at(5), at(5), at(5), at(7), at(7)],
    created: at(7),
  });
});

test('where this build has no layer, all is as old as the base; where nothing has a time, there is none', () => {
  expect(times([base('2001-01-01T00:00:00Z'), line(), line()])).toEqual({
    history: ['2001-01-01T00:00:00Z', '2001-01-01T00:00:00Z', '2001-01-01T00:00:00Z'],
    created: '2001-01-01T00:00:00Z',
  });
  expect(times([line(), line()])).toEqual({ history: [undefined, undefined], created: undefined });
});

test('with SOURCE_DATE_EPOCH every line of this build has it, and no line of the base', () => {
  expect(times([base('2030-01-01T00:00:00Z'), base(), line(), line(5)], 9)).toEqual({
    history: ['2030-01-01T00:00:00Z', at(9), at(9), at(9)],
    created: at(9),
  });
});

test.each([
  [0, '1970-01-01T00:00:00Z'],
  [1_700_000_000_480, '2023-11-14T22:13:20.48Z'],
  [1_700_000_000_007, '2023-11-14T22:13:20.007Z'],
  [1_700_000_010_000, '2023-11-14T22:13:30Z'],
])('times are as Go writes them: %d', (ms, text) => {
  expect(goTime(ms)).toBe(text);
});
