import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hasWildcards, matchesGlob, parseGlob } from '../../../src/context/glob.ts';

const match = (pattern: string, name: string) => {
  const glob = parseGlob(pattern);
  return glob === undefined ? 'malformed' : matchesGlob(glob, name);
};

// From the table of Go's path/filepath/match_test.go.
test.each([
  ['abc', 'abc', true],
  ['*c', 'abc', true],
  ['a*', 'ab/c', false],
  ['a*/b', 'abc/b', true],
  ['a*/b', 'a/c/b', false],
  ['a*b*c*d*e*/f', 'axbxcxdxexxx/f', true],
  ['a*b*c*d*e*/f', 'axbxcxdxe/xxx/f', false],
  ['a*b?c*x', 'abxbbxdbxebxczzx', true],
  ['a*b?c*x', 'abxbbxdbxebxczzy', false],
  ['ab[b-d]', 'abc', true],
  ['ab[^b-d]', 'abc', false],
  ['a\\*b', 'a*b', true],
  ['a?b', 'a☺b', true],
  ['a???b', 'a☺b', false],
  ['[a-ζ]*', 'α', true],
  ['*[a-ζ]', 'A', false],
  ['a?b', 'a/b', false],
  ['[\\]a]', ']', true],
  ['[\\-x]', '-', true],
  ['[]a]', ']', 'malformed'],
  ['[-]', '-', 'malformed'],
  ['[x-]', 'x', 'malformed'],
  ['[a-b-c]', 'a', 'malformed'],
  ['[', 'a', 'malformed'],
  ['[^', 'a', 'malformed'],
  ['[^bc', 'a', 'malformed'],
  ['a[', 'ab', 'malformed'],
  ['a\\', 'a', 'malformed'],
  ['*x', 'xxx', true],
  ['*', '.hidden', true],
  ['**', 'a/b', false],
])('%s on %s: %s', (pattern, name, expected) => {
  expect(match(pattern, name)).toBe(expected);
});

test('what looks for matches, and what is taken as it is', () => {
  expect(['a*', 'a?', 'a[b]', 'a\\*', 'a]'].map(hasWildcards)).toEqual([true, true, true, false, false]);
});

test('stars and question marks match what a regular expression matches', () => {
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*', '?'), maxLength: 8 });
  const name = fc.string({ unit: fc.constantFrom('a', 'b', '/'), maxLength: 10 });
  fc.assert(
    fc.property(pattern, name, (text, subject) => {
      const source = text.replaceAll('?', '[^/]').replaceAll('*', '[^/]*');
      expect(match(text, subject)).toBe(new RegExp(`^${source}$`).test(subject));
    }),
    { numRuns: 2000 },
  );
});

test('many stars take no exponential time', () => {
  expect(match(`${'*a'.repeat(30)}b`, 'a'.repeat(5000))).toBe(false);
});
