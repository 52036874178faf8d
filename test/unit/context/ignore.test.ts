import path from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TbuildError } from '../../../src/base/errors.ts';
import { compileExcludes, compileIgnore } from '../../../src/context/ignore.ts';

const compile = (...lines: string[]) => compileIgnore(lines.join('\n'), '.dockerignore');

/** Verdicts on the way down to `name`. */
function verdicts(rules: ReturnType<typeof compileIgnore>, name: string) {
  let state = rules.root;
  return name.split('/').map((_, i, segments) => {
    const verdict = rules.excludes(segments.slice(0, i + 1).join('/'), state);
    state = verdict.state;
    return verdict;
  });
}

const isExcluded = (rules: ReturnType<typeof compileIgnore>, name: string) => verdicts(rules, name).at(-1)!.excluded;

test('has any number of ** in a pattern', () => {
  const rules = compileIgnore('a/**/b/**/c\n?**x**y?', '.dockerignore');
  for (const name of ['a/b/c', 'a/b/1/c', 'a/1/b/2/3/c', 'oxyo', 'o/x/.y/xyo']) expect(isExcluded(rules, name), name).toBe(true);
  for (const name of ['a/c', 'a/1/c', 'a/b/cc', 'b/1/c', 'xyo']) expect(isExcluded(rules, name), name).toBe(false);
});

test('lines: comments in the first column, blanks, a leading slash, a byte order mark, CRLF', () => {
  const rules = compile('\ufeff# a', ' #b ', '', '/c/', './d//e/.', 'f\r');
  for (const name of ['#b', 'c', 'c/x', 'd/e', 'f']) expect(isExcluded(rules, name), name).toBe(true);
  for (const name of ['a', '# a', 'd', 'x/c']) expect(isExcluded(rules, name), name).toBe(false);
});

test('a pattern with a segment that no path has matches nothing', () => {
  const rules = compile('**a/.**.', 'x/../../..', '**/./**.');
  for (const name of ['a', 'b', 'a/b', 'x/b']) expect(isExcluded(rules, name), name).toBe(false);
});

test('the last match decides, and ! reaches into an excluded directory', () => {
  const rules = compile('*', '! a/b/*.txt', 'a/b/no.txt');
  expect(verdicts(rules, 'a/b/c.txt').map(({ excluded, descend }) => [excluded, descend])).toEqual([
    [true, true],
    [true, true],
    [false, true],
  ]);
  expect(isExcluded(rules, 'a/b/no.txt')).toBe(true);
});

test('a walker stays out where no exception can reach', () => {
  expect(verdicts(compile('node_modules', '!src/keep'), 'node_modules')[0]).toMatchObject({ excluded: true, descend: false });
  expect(verdicts(compile('a', '!b/**/c'), 'a')[0]).toMatchObject({ excluded: true, descend: false });
  expect(verdicts(compile('a', '!**/c'), 'a')[0]).toMatchObject({ excluded: true, descend: true });
  expect(verdicts(compile('!a/b', 'a'), 'a')[0]).toMatchObject({ excluded: true, descend: false });
  expect(verdicts(compile('**', '!*.md'), 'docs')[0]).toMatchObject({ excluded: true, descend: false });
});

test('errors name the line', () => {
  const attempt = (text: string) => {
    try {
      compileIgnore(text, 'x.dockerignore');
    } catch (error) {
      if (error instanceof TbuildError)
        return `${error.code} ${error.message} ${error.where?.file}:${error.where?.range.startLine}`;
      throw error;
    }
    return undefined;
  };
  expect(attempt('a\n!')).toBe('context/ignore illegal exclusion pattern: "!" x.dockerignore:2');
  expect(attempt('\n\n[a-')).toBe('context/ignore syntax error in pattern: [a- x.dockerignore:3');
});

test('--exclude has no comments', () => {
  const rules = compileExcludes(['#x', '*.log', '!keep.log', ' ']);
  expect(['#x', 'a.log', 'keep.log', 'b'].map((name) => isExcluded(rules, name))).toEqual([true, true, false, false]);
});

const piece = fc.constantFrom('a', 'b', '.x', '*', '**', '?', '/', '/', '[ab]', '[^a]', '!', '.');
const patternText = fc.array(piece, { minLength: 1, maxLength: 6 }).map((pieces) => pieces.join(''));
const pathText = fc
  .array(fc.constantFrom('a', 'b', 'ab', '.x', 'a.x', 'ba', '!'), { minLength: 1, maxLength: 4 })
  .map((names) => names.join('/'));

test('patterns match what Docker’s own translation to a regular expression matches', () => {
  fc.assert(
    fc.property(patternText, pathText, (pattern, name) => {
      const line = clean(pattern);
      fc.pre(!line.startsWith('!') && !line.startsWith('#') && !line.startsWith('.'));
      const matches = dockerMatcher(line);
      const segments = name.split('/');
      const expected = segments.some((_, i) => matches(segments.slice(0, i + 1).join('/')));
      expect(isExcluded(compile(pattern), name), `${pattern} on ${name}`).toBe(expected);
    }),
    { numRuns: 4000 },
  );
});

function clean(pattern: string): string {
  const normal = path.posix.normalize(pattern).replace(/(?<=.)\/$/, '');
  return normal.replace(/^\/(?=.)/, '');
}

test('what a walker does not visit is excluded', () => {
  const line = fc.tuple(fc.constantFrom('', '', '!'), patternText).map(([mark, pattern]) => mark + pattern);
  fc.assert(
    fc.property(fc.array(line, { maxLength: 5 }), pathText, (lines, name) => {
      // A lone `!` is an error.
      fc.pre(lines.every((text) => !/^[!/.]*$/.test(text)));
      const all = verdicts(compile(...lines), name);
      const pruned = all.findIndex(({ excluded, descend }) => excluded && !descend);
      if (pruned >= 0)
        expect(
          all.slice(pruned).every(({ excluded }) => excluded),
          `${lines} on ${name}`,
        ).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

/** moby/patternmatcher, Pattern.compile, restated for slashes: prefix, suffix, or a regular expression. */
function dockerMatcher(pattern: string): (name: string) => boolean {
  const characters = [...pattern];
  let source = '^';
  let type: 'exact' | 'prefix' | 'suffix' | 'expression' = 'exact';
  for (let i = 0, token = 0; i < characters.length; token++) {
    const character = characters[i++]!;
    if (character === '*' && characters[i] === '*') {
      i++;
      if (characters[i] === '/') i++;
      if (i < characters.length) {
        source += '(.*/)?';
        type = 'expression';
      } else if (type === 'exact') type = 'prefix';
      else {
        source += '.*';
        type = 'expression';
      }
      if (token === 0) type = 'suffix';
    } else if (character === '*' || character === '?') {
      source += character === '*' ? '[^/]*' : '[^/]';
      type = 'expression';
    } else if (character === '[' || character === ']') {
      source += character;
      type = 'expression';
    } else source += '.$'.includes(character) ? `\\${character}` : character;
  }
  const expression = new RegExp(`${source}$`);
  return (name) => {
    if (type === 'exact') return name === pattern;
    if (type === 'prefix') return name.startsWith(pattern.slice(0, -2));
    if (type === 'expression') return expression.test(name);
    const suffix = pattern.slice(2);
    return name.endsWith(suffix) || (suffix.startsWith('/') && name === suffix.slice(1));
  };
}
