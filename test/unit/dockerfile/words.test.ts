// biome-ignore-all lint/suspicious/noTemplateCurlyInString: a Dockerfile's own variables are meant
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TbuildError } from '../../../src/base/errors.ts';
import { parseShellPattern, replaceAll, replaceFirst, trimPrefix, trimSuffix } from '../../../src/dockerfile/shell-pattern.ts';
import { expand, processWord, processWords } from '../../../src/dockerfile/words.ts';

const environment = new Map([
  ['name', 'value'],
  ['empty', ''],
  ['file', 'a.tar.gz'],
  ['ports', '80 81'],
]);

test('the backtick escapes where the directive says so, and the backslash is then a character', () => {
  expect(processWord('C:\\dir\\`$name', environment, '`')).toBe('C:\\dir\\$name');
  expect(processWord('C:\\dir\\$name', environment, '`')).toBe('C:\\dir\\value');
  expect(processWord('a`\tb', environment, '`')).toBe('a\tb');
});

test('one variable may hold several words, a quoted one is one', () => {
  expect(processWords('$ports', environment, '\\')).toEqual(['80', '81']);
  expect(processWords('"$ports"', environment, '\\')).toEqual(['80 81']);
});

test('a message of one’s own stands in the error, and so does the default', () => {
  expect(() => processWord('${gone:?set it}', environment, '\\')).toThrow('failed to process "${gone:?set it}": gone: set it');
  expect(() => processWord('${empty:?}', environment, '\\')).toThrow('empty: is not allowed to be empty');
  expect(() => processWord('${gone?}', environment, '\\')).toThrow('gone: is not allowed to be unset');
});

test('unset references stay when asked to', () => {
  const options = { escapeToken: '\\', keepUnset: true, rawQuotes: true } as const;
  expect(expand('echo "$gone ${gone:-x} $name"', environment, options).value).toBe('echo "$gone ${gone:-x} value"');
});

test('tells which variables it met', () => {
  const { matched, unmatched } = expand('$name${gone}', environment, { escapeToken: '\\' });
  expect([...matched]).toEqual(['name']);
  expect([...unmatched]).toEqual(['gone']);
});

test('a value that doubles without end is an error, not all of memory', () => {
  const big = new Map([['v', 'x'.repeat(900_000)]]);
  expect(() => processWord('$v$v$v', big, '\\')).toThrow('is longer than');
});

test('patterns: shortest and longest, from both ends', () => {
  expect(processWord('${file#*.}|${file##*.}|${file%.*}|${file%%.*}', environment, '\\')).toBe('tar.gz|gz|a.tar|a');
  expect(processWord('${file/a/b}|${file//a/b}|${file/[a]/b}', environment, '\\')).toBe('b.tar.gz|b.tbr.gz|a.tar.gz');
  expect(() => processWord('${file#\\a}', environment, '\\')).toThrow("invalid escape '\\a'");
});

test('takes what all matches are replaced by for a template of Go', () => {
  const environment = new Map(Object.entries({ file: 'a.tar', group: '<$0|${0}|$1|$$|$', price: '5$' }));
  expect(processWord('${file//a/$group}', environment, '\\')).toBe('<a|a||$|$.t<a|a||$|$r');
  expect(processWord('${file/a/$group}', environment, '\\')).toBe('<$0|${0}|$1|$$|$.tar');
  expect(processWord('${file//a/$price}', environment, '\\')).toBe('5$.t5$r');
});

const alphabet = fc.constantFrom('a', 'b', '*', '?', '.', '[');
const patternText = fc.string({ unit: alphabet, maxLength: 6 });
const subject = fc.string({ unit: fc.constantFrom('a', 'b', '.', '['), maxLength: 10 });

/** The pattern as a regular expression: slow in the worst case, but plain to see. */
const expression = (pattern: string, longest: boolean) =>
  Array.from(pattern, (character) => {
    if (character === '*') return longest ? '[^\\n]*' : '[^\\n]*?';
    return character === '?' ? '[^\\n]' : `\\${character}`.replace(/^\\(?=[ab])/, '');
  }).join('');

test('patterns match what a regular expression matches', () => {
  fc.assert(
    fc.property(patternText, subject, fc.boolean(), (text, value, longest) => {
      const pattern = parseShellPattern(text);
      const source = expression(text, longest);
      expect(trimPrefix(value, pattern, longest)).toBe(value.replace(new RegExp(`^(?:${source})`), ''));
      const ends = Array.from({ length: value.length + 1 }, (_, i) => i).filter((i) =>
        new RegExp(`^(?:${source})$`).test(value.slice(i)),
      );
      const start = longest ? ends.at(0) : ends.at(-1);
      expect(trimSuffix(value, pattern, longest)).toBe(start === undefined ? value : value.slice(0, start));
      const greedy = expression(text, true);
      expect(replaceFirst(value, pattern, '-')).toBe(value.replace(new RegExp(greedy), '-'));
    }),
    { numRuns: 2000 },
  );
});

test('replacing all goes on behind each match', () => {
  expect(replaceAll('a.b.c', parseShellPattern('.'), '-')).toBe('a-b-c');
  expect(replaceAll('aab', parseShellPattern('*'), '-')).toBe('-');
  expect(replaceAll('ab', parseShellPattern(''), '-')).toBe('-a-b-');
});

test('a pattern of many stars takes no exponential time', () => {
  const value = 'a'.repeat(20_000);
  expect(trimPrefix(value, parseShellPattern(`${'*a'.repeat(20)}b`), true)).toBe(value);
});

test('any text is a value or a TbuildError', () => {
  const character = fc.constantFrom(
    '$',
    '{',
    '}',
    ':',
    '-',
    '+',
    '?',
    '#',
    '%',
    '/',
    '"',
    "'",
    '\\',
    'name',
    ' ',
    '<',
    '한',
    '*',
  );
  fc.assert(
    fc.property(fc.array(character, { maxLength: 16 }), (pieces) => {
      try {
        expect(typeof processWord(pieces.join(''), environment, '\\')).toBe('string');
      } catch (error) {
        expect(error).toBeInstanceOf(TbuildError);
      }
    }),
    { numRuns: 3000 },
  );
});
