// What goes, and in which order: pure choices over invented things.
import { describe, expect, test } from 'vitest';
import { choose } from '../../../src/upkeep/prune.ts';
import type { UsageItem } from '../../../src/upkeep/usage.ts';

const item = (id: string, lastUsed: number, others: Partial<UsageItem> = {}): UsageItem => ({
  id,
  type: 'regular',
  description: '',
  sizeBytes: 10,
  lastUsed,
  isShared: false,
  isInUse: false,
  ...others,
});

const things = [
  item('new', 5),
  item('old', 1),
  item('shared', 2, { isShared: true }),
  item('busy', 0, { isInUse: true }),
  item('blob', 0, { type: 'blob' }),
  item('mount', 3, { type: 'exec.cachemount' }),
  item('nameless', 4, { type: 'image' }),
];
const chosen = (...[options, free]: [Parameters<typeof choose>[1], number?]) =>
  choose(things, options, free ?? 0).map(({ id }) => id);

describe('what prune chooses', () => {
  test('everything that nothing needs, images without a name first, then the longest unused', () => {
    expect(chosen({})).toEqual(['nameless', 'old', 'mount', 'new']);
  });

  test('with all, also what images share and compressed layers; never what is in use', () => {
    expect(chosen({ all: true })).toEqual(['blob', 'nameless', 'old', 'shared', 'mount', 'new']);
  });

  test('what fits the filters', () => {
    expect(chosen({ types: ['exec.cachemount'] })).toEqual(['mount']);
    expect(chosen({ ids: ['ol', 'new'] })).toEqual(['old', 'new']);
    expect(chosen({ unusedSince: 4 })).toEqual(['old', 'mount']);
  });

  test('no more than a limit asks for', () => {
    expect(chosen({ maxUsedBytes: 70 })).toEqual([]);
    expect(chosen({ maxUsedBytes: 55 })).toEqual(['blob', 'nameless']);
    expect(chosen({ minFreeBytes: 30 }, 5)).toEqual(['blob', 'nameless', 'old']);
    expect(chosen({ minFreeBytes: 30 }, 30)).toEqual([]);
  });

  test('never what is reserved', () => {
    expect(chosen({ reservedBytes: 50 })).toEqual(['nameless', 'old']);
    expect(chosen({ reservedBytes: 50, maxUsedBytes: 0 })).toEqual(['blob', 'nameless']);
  });

  test('what is shared makes no room on the disk', () => {
    const shared = [item('a', 1, { isShared: true }), item('b', 2)];
    expect(choose(shared, { all: true, minFreeBytes: 10 }, 0).map(({ id }) => id)).toEqual(['a', 'b']);
  });
});
