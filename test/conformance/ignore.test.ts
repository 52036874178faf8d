// Ignore patterns against moby/patternmatcher: 1,500 random lists and the 126 rows of its own tests.

import path from 'node:path';
import { expect, test } from 'vitest';
import { TbuildError } from '../../src/base/errors.ts';
import { compileIgnore, type IgnoreRules } from '../../src/context/ignore.ts';
import { describeReference, report } from './reference.ts';

/** True, false, or the error's message. */
function attempt(patterns: readonly string[], name: string): boolean | string {
  try {
    const rules = compileIgnore(patterns.join('\n'), '.dockerignore');
    const cleaned = path.posix.normalize(name).replace(/(?<=.)\/$/, '');
    return cleaned === '.' ? false : excludesPath(rules, cleaned);
  } catch (error) {
    if (error instanceof TbuildError) return error.message;
    throw error;
  }
}

/** As a walker asks: from the top, each directory's state handed on. */
function excludesPath(rules: IgnoreRules, name: string): boolean {
  const segments = name.split('/');
  let verdict = { excluded: false, descend: true, state: rules.root };
  for (let i = 1; i <= segments.length; i++) {
    if (verdict.excluded && !verdict.descend) return true;
    verdict = rules.excludes(segments.slice(0, i).join('/'), verdict.state);
  }
  return verdict.excluded;
}

describeReference('ignore.json', 'language/ignore.json', (text) => {
  const rows = JSON.parse(text) as { patterns: string[]; path: string; excluded: boolean; error?: string }[];
  test('every list of patterns', () => {
    const failed = rows.flatMap((row) => {
      const actual = attempt(row.patterns, row.path);
      const passed = row.error === undefined ? actual === row.excluded : String(actual).startsWith(row.error);
      return passed ? [] : [{ ...row, actual }];
    });
    expect(report(failed)).toBe('');
    expect(rows.length - failed.length).toBe(1500);
  });
});

describeReference('patternmatcher_table.json', 'language/patternmatcher_table.json', (text) => {
  const rows = JSON.parse(text) as { patterns: string[]; path: string; match: boolean; error: boolean }[];
  test('every row', () => {
    const failed = rows.flatMap((row) => {
      const actual = attempt(row.patterns, row.path);
      return (row.error ? typeof actual === 'string' : actual === row.match) ? [] : [{ ...row, actual }];
    });
    expect(report(failed)).toBe('');
    expect(rows.length - failed.length).toBe(126);
  });
});
