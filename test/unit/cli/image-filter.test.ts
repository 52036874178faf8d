import { describe, expect, it } from 'vitest';
import { imageTest, namePattern } from '../../../src/cli/image-filter.ts';
import type { ImageRow } from '../../../src/cli/lists/image-rows.ts';

const row = (changes: Partial<ImageRow>): ImageRow => ({
  id: 'sha256:1',
  digest: undefined,
  created: '2026-01-02T00:00:00Z',
  sizeBytes: 1,
  platforms: [],
  labels: {},
  repository: 'app',
  tag: '1',
  ...changes,
});
const fits = (filters: Record<string, string[]>, changes: Partial<ImageRow> = {}) =>
  imageTest(new Map(Object.entries(filters)), {
    createdOf: () => Date.parse('2026-01-02T00:00:00Z'),
    nowMs: Date.parse('2026-01-10T00:00:00Z'),
  })(row(changes));

describe('images --filter', () => {
  it.each<[Record<string, string[]>, Partial<ImageRow>, boolean]>([
    [{ dangling: ['true'] }, { repository: undefined, tag: undefined }, true],
    [{ dangling: ['true'] }, {}, false],
    [{ dangling: ['false'] }, {}, true],
    [{ label: ['a', 'b=c'] }, { labels: { a: '1', b: 'c' } }, true],
    [{ label: ['b=d'] }, { labels: { b: 'c' } }, false],
    [{ before: ['x'] }, { created: '2026-01-01T00:00:00Z' }, true],
    [{ before: ['x'] }, {}, false],
    [{ since: ['x'] }, { created: '2026-01-03T00:00:00Z' }, true],
    [{ since: ['x'] }, {}, false],
    [{ until: ['24h'] }, {}, true],
    [{ until: ['2026-01-01'] }, {}, false],
    [{ reference: ['none', 'a*:1'] }, {}, true],
  ])('%j', (filters, changes, expected) => {
    expect(fits(filters, changes)).toBe(expected);
  });

  it.each<[string, Partial<ImageRow>, boolean]>([
    ['app', {}, true],
    ['app:1', {}, true],
    ['app:2', {}, false],
    ['*', { repository: 'host/app' }, false],
    ['*/app', { repository: 'host/app' }, true],
    ['app', { repository: undefined }, false],
  ])('the pattern %s', (pattern, changes, expected) => {
    expect(namePattern(pattern)(row(changes))).toBe(expected);
  });

  it('says what is wrong', () => {
    expect(() => fits({ dangling: ['maybe'] })).toThrow("invalid filter 'dangling=maybe'");
    expect(() => namePattern('[')).toThrow('syntax error in pattern');
  });
});
