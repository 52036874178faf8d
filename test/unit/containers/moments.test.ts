import { describe, expect, it } from 'vitest';
import { formatMoment, parseMoment, readTime } from '../../../src/containers/moments.ts';

const nowMs = Date.parse('2026-01-31T12:00:00Z');

describe('a moment', () => {
  it.each([
    ['2026-01-31T11:00:00.5Z', '2026-01-31T11:00:00.500000000Z'],
    ['2026-01-31T11:00:00.123456789+01:00', '2026-01-31T10:00:00.123456789Z'],
    ['2026-01-31Z', '2026-01-31T00:00:00.000000000Z'],
    ['1767225600', '2026-01-01T00:00:00.000000000Z'],
    ['1767225600.25', '2026-01-01T00:00:00.250000000Z'],
    ['42m', '2026-01-31T11:18:00.000000000Z'],
    ['1h30m', '2026-01-31T10:30:00.000000000Z'],
    ['-1h', '2026-01-31T13:00:00.000000000Z'],
  ])('%s is %s', (text, moment) => {
    expect(formatMoment(parseMoment('since', text, nowMs))).toBe(moment);
  });

  it.each(['yesterday', '', '2026-13-01', '12:00'])('%j is none', (text) => {
    expect(() => parseMoment('since', text, nowMs)).toThrow('invalid value for "since"');
  });

  it('without a zone is local', () => {
    expect(readTime('2026-01-31T11:00')).toBe(BigInt(new Date(2026, 0, 31, 11).getTime()) * 1_000_000n);
  });
});
