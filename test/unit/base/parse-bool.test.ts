import { expect, test } from 'vitest';
import { parseBool } from '../../../src/base/parse-bool.ts';

test.each(['1', 't', 'T', 'true', 'TRUE', 'True'])('%s is true', (text) => {
  expect(parseBool(text)).toBe(true);
});

test.each(['0', 'f', 'F', 'false', 'FALSE', 'False'])('%s is false', (text) => {
  expect(parseBool(text)).toBe(false);
});

test.each(['', 'yes', 'no', 'on', 'tRUE', ' true', '2'])('%j is neither', (text) => {
  expect(parseBool(text)).toBeUndefined();
});
