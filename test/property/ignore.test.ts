// Ignore rules against a matcher that tries everything: slow, and plain enough to be read beside moby/patternmatcher.

import path from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TbuildError } from '../../src/base/errors.ts';
import { compileIgnore } from '../../src/context/ignore.ts';
import { budget, timeoutMs } from './budget.ts';

function matches(pattern: string, name: string): boolean {
  if (/^\*\*[^*?]+$/.test(pattern)) return name.endsWith(pattern.slice(2)) || pattern === `**/${name}`;
  return matchesFrom(pattern, name);
}

function matchesFrom(pattern: string, name: string): boolean {
  if (pattern === '') return name === '';
  if (pattern.startsWith('**')) {
    const rest = pattern.slice(2).replace(/^\//, '');
    if (rest === '') return true;
    return matchesFrom(rest, name) || [...name].some((character, i) => character === '/' && matchesFrom(rest, name.slice(i + 1)));
  }
  if (pattern.startsWith('*')) {
    return matchesFrom(pattern.slice(1), name) || (name !== '' && name[0] !== '/' && matchesFrom(pattern, name.slice(1)));
  }
  if (name === '' || (pattern[0] === '?' ? name[0] === '/' : pattern[0] !== name[0])) return false;
  return matchesFrom(pattern.slice(1), name.slice(1));
}

const clean = (pattern: string) =>
  path.posix
    .normalize(pattern)
    .replace(/(?<=.)\/$/, '')
    .replace(/^\/(?=.)/, '');

/** From the top: a pattern holds for what is below, and is not asked where it could change nothing. */
function isExcluded(lines: readonly string[], name: string): boolean {
  const patterns = lines.map((line) => ({ isException: line.startsWith('!'), pattern: clean(line.replace(/^!/, '')) }));
  const held = patterns.map(() => false);
  const segments = name.split('/');
  let excluded = false;
  for (let i = 1; i <= segments.length; i++) {
    excluded = false;
    for (const [k, { isException, pattern }] of patterns.entries()) {
      held[k] ||= isException === excluded && matches(pattern, segments.slice(0, i).join('/'));
      if (held[k]) excluded = !isException;
    }
  }
  return excluded;
}

function asked(lines: readonly string[], name: string): boolean {
  const rules = compileIgnore(lines.join('\n'), '.dockerignore');
  let verdict = { excluded: false, descend: true, state: rules.root };
  for (const [i] of name.split('/').entries()) {
    if (verdict.excluded && !verdict.descend) return true;
    verdict = rules.excludes(
      name
        .split('/')
        .slice(0, i + 1)
        .join('/'),
      verdict.state,
    );
  }
  return verdict.excluded;
}

const token = fc.constantFrom('a', 'b', 'ab', '.', '/', '/', '*', '**', '?');
const pattern = fc.array(token, { minLength: 1, maxLength: 8 }).map((all) => all.join(''));
const rule = fc.tuple(fc.boolean(), pattern).map(([isException, one]) => (isException ? '!' : '') + one);
const name = fc
  .array(
    fc.stringMatching(/^[ab.]{1,3}$/).filter((one) => !/^\.+$/.test(one)),
    { minLength: 1, maxLength: 5 },
  )
  .map((all) => all.join('/'));

test('as the matcher that tries everything', { timeout: timeoutMs }, () => {
  fc.assert(
    fc.property(fc.array(rule, { minLength: 1, maxLength: 4 }), name, (rules, one) => {
      expect(asked(rules, one)).toBe(isExcluded(rules, one));
    }),
    budget,
  );
});

test('any text is rules, or an error with its line', { timeout: timeoutMs }, () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc
          .array(fc.constantFrom('[', ']', '-', '^', '!', '\\', '*', '/', 'a', '\n', ' '), { maxLength: 20 })
          .map((all) => all.join('')),
      ),
      name,
      (text, one) => {
        try {
          const rules = compileIgnore(text, '.dockerignore');
          rules.excludes(one, rules.root);
        } catch (error) {
          if (!(error instanceof TbuildError)) throw error;
          const { startLine, endColumn } = error.where!.range;
          expect(text.split('\n')[startLine - 1]!.length).toBeGreaterThanOrEqual(endColumn);
        }
      },
    ),
    budget,
  );
});
