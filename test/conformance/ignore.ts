// Ignore patterns against moby/patternmatcher: 1,500 random lists and the 126 rows of its own tests.

import path from 'node:path';
import { compileIgnore, type IgnoreRules } from '../../src/context/ignore.ts';
import { attempt, compareRows, difference, type Suite } from './suite.ts';

/** True, false, or the error's message. */
function excludes(patterns: readonly string[], name: string): boolean | string {
  return attempt(() => {
    const rules = compileIgnore(patterns.join('\n'), '.dockerignore');
    const cleaned = path.posix.normalize(name).replace(/(?<=.)\/$/, '');
    return cleaned === '.' ? false : excludesPath(rules, cleaned);
  });
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

export const ignore: Suite = {
  name: 'ignore',
  file: 'language/ignore.json',
  total: 1500,
  compare: (text) => {
    const rows = JSON.parse(text) as { patterns: string[]; path: string; excluded: boolean; error?: string }[];
    return compareRows(rows, (row) => {
      const actual = excludes(row.patterns, row.path);
      const isSame = row.error === undefined ? actual === row.excluded : String(actual).startsWith(row.error);
      return isSame ? undefined : { case: nameOf(row), difference: difference(row.error ?? row.excluded, actual) };
    });
  },
};

export const patternTable: Suite = {
  name: 'patternmatcher',
  file: 'language/patternmatcher_table.json',
  total: 126,
  compare: (text) => {
    const rows = JSON.parse(text) as { patterns: string[]; path: string; match: boolean; error: boolean }[];
    return compareRows(rows, (row) => {
      const actual = excludes(row.patterns, row.path);
      const isSame = row.error ? typeof actual === 'string' : actual === row.match;
      return isSame ? undefined : { case: nameOf(row), difference: difference(row.error ? 'an error' : row.match, actual) };
    });
  },
};

const nameOf = ({ patterns, path: name }: { patterns: readonly string[]; path: string }) =>
  `${JSON.stringify(patterns)} on ${name}`;
