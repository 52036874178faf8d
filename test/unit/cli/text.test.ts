import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cutToWidth, oneColouredLine, oneLine, widthOf } from '../../../src/cli/text.ts';
import { formatAge, formatSize } from '../../../src/cli/units.ts';

test.each([
  ['', 0],
  ['abc', 3],
  ['é', 1],
  ['e\u0301', 1],
  ['日本', 4],
  ['한국', 4],
  ['ｆｕｌｌ', 8],
  ['✓', 1],
  ['🚀', 2],
  ['a\u200bb', 2],
])('%s is %i wide', (text, width) => {
  expect(widthOf(text)).toBe(width);
});

test('cut', () => {
  expect(cutToWidth('abcdef', 6)).toBe('abcdef');
  expect(cutToWidth('abcdef', 5)).toBe('abcd…');
  expect(cutToWidth('日本語', 6)).toBe('日本語');
  expect(cutToWidth('日本語', 5)).toBe('日本…');
  expect(cutToWidth('日本語', 4)).toBe('日…');
  expect(cutToWidth('abc', 1)).toBe('…');
  expect(cutToWidth('abc', 0)).toBe('');
  expect(cutToWidth('x'.repeat(1_000_000), 4)).toBe('xxx…');
});

test('what is cut fits, and what fits is not cut', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.nat(30), (text, columns) => {
      const cut = cutToWidth(text, columns);
      expect(widthOf(cut)).toBeLessThanOrEqual(columns);
      if (columns > 0 && widthOf(text) <= columns) expect(cut).toBe(text);
    }),
  );
});

test('foreign text cannot drive the terminal', () => {
  expect(oneLine('\x1b[31mred\x1b[0m\x1b]0;title\x07 \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\x07')).toBe('red link');
  expect(oneLine('a\tb')).toBe('a        b');
  expect(oneLine('10%\r50%\r100%\r')).toBe('100%');
  expect(oneLine('\r')).toBe('');
  expect(oneColouredLine('\x1b[1;31mred\x1b[0m \x1b[2Jx\x1b[Hy\x1b]52;c;AAAA\x07z')).toBe('\x1b[1;31mred\x1b[0m xyz\x1b[0m');
  expect(oneColouredLine('plain\x9b2J')).toBe('plain');
  const noise = fc.string({
    unit: fc.constantFrom('\x1b', '[', ']', 'm', 'J', '3', ';', '\x07', '\x9b', '\r', '\t', 'a', '\u202e', '\ufdd0', '\\', 'P'),
  });
  fc.assert(
    fc.property(noise, (text) => {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
      expect(oneLine(text)).not.toMatch(/[\x00-\x1f\x7f-\x9f\u202e]/);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: but for colours
      expect(oneColouredLine(text).replace(/\x1b\[[\d;:]*m/g, '')).not.toMatch(/[\x00-\x08\x0a-\x1f\x7f-\x9f\u202e]/);
    }),
  );
});

test('sizes as docker writes them', () => {
  expect([0, 999, 1000, 7_800_000, 142_400_000, 1_234_000_000, 999_999].map(formatSize)).toEqual([
    '0B',
    '999B',
    '1kB',
    '7.8MB',
    '142MB',
    '1.23GB',
    '1000kB',
  ]);
});

test('ages as docker writes them', () => {
  const nowMs = Date.UTC(2026, 10, 21);
  const ages = [0, 1, 45, 70, 59 * 60, 3600, 5 * 3600, 40 * 3600, 3 * 86400, 20 * 86400, 90 * 86400, 800 * 86400, -5].map(
    (seconds) => formatAge(new Date(nowMs - seconds * 1000).toISOString(), nowMs),
  );
  expect(ages.join(', ')).toMatchInlineSnapshot(
    `"Less than a second ago, 1 second ago, 45 seconds ago, About a minute ago, 59 minutes ago, About an hour ago, 5 hours ago, 40 hours ago, 3 days ago, 2 weeks ago, 3 months ago, 2 years ago, Less than a second ago"`,
  );
  expect([formatAge(undefined, nowMs), formatAge('yesterday', nowMs)]).toEqual(['N/A', 'N/A']);
});
