// .dockerignore: which paths of a context a build does not see (moby/patternmatcher, ignorefile). The last pattern that
// matches a path or one of its parents decides, so a walker may have to look into excluded directories: `descend` says when.
// Only rules are here: nothing is read from disk.

import path from 'node:path';
import { minimatch } from 'minimatch';
import { type Location, TbuildError } from '../base/errors.ts';
import { type Glob, matchesGlob, parseGlob } from './glob.ts';
import { manyStars } from './stars.ts';

/** What is known of a directory: for each pattern, whether it matched the directory or a parent. Opaque to walkers. */
export type IgnoreState = readonly boolean[];

export interface IgnoreVerdict {
  readonly excluded: boolean;
  /** For a directory: something below it may still be included. */
  readonly descend: boolean;
  /** To be handed in with the directory's entries. */
  readonly state: IgnoreState;
}

export interface IgnoreRules {
  /** Some pattern begins with `!`. */
  readonly hasExceptions: boolean;
  /** Some pattern takes everything that is in the root. */
  readonly excludesAll: boolean;
  /** The state of the context's root. */
  readonly root: IgnoreState;
  /** `path`: relative, slashes, no `.` or `..`; `parent`: the state of the directory it is in. */
  excludes(path: string, parent: IgnoreState): IgnoreVerdict;
}

interface Pattern {
  /** Cleaned, without `!`. */
  readonly text: string;
  readonly isException: boolean;
  readonly matches: (path: string) => boolean;
  readonly mayMatchBelow: (directory: string) => boolean;
}

/** `file` names the text in errors. */
export function compileIgnore(text: string, file: string): IgnoreRules {
  const patterns: Pattern[] = [];
  for (const [index, line] of text
    .replace(/^\ufeff/, '')
    .split('\n')
    .entries()) {
    const pattern = readLine(line);
    if (pattern === undefined) continue;
    patterns.push(compilePattern(pattern, () => lineOf(file, text, index)));
  }
  return rulesOf(patterns);
}

/** Patterns of `--exclude`: as lines of an ignore file, but none is a comment. */
export function compileExcludes(patterns: readonly string[]): IgnoreRules {
  return rulesOf(patterns.flatMap((pattern) => readPattern(pattern) ?? []).map((pattern) => compilePattern(pattern)));
}

function rulesOf(patterns: readonly Pattern[]): IgnoreRules {
  const root: IgnoreState = patterns.map(() => false);
  const excludes = (name: string, parent: IgnoreState): IgnoreVerdict => {
    let excluded = false;
    let decidedBy = -1;
    // Most paths match nothing, and then the state stays what it is.
    let state = parent;
    for (let i = 0; i < patterns.length; i++) {
      const pattern = patterns[i]!;
      // As in Docker's walk: a pattern that could not change the verdict is not tried, and is not known to match.
      if (parent[i] !== true) {
        if (pattern.isException !== excluded || !pattern.matches(name)) continue;
        state = state.with(i, true);
      }
      excluded = !pattern.isException;
      decidedBy = i;
    }
    const descend =
      !excluded || patterns.some((pattern, i) => i > decidedBy && pattern.isException && pattern.mayMatchBelow(name));
    return { excluded, descend, state };
  };
  return {
    hasExceptions: patterns.some(({ isException }) => isException),
    excludesAll: patterns.some(({ text, isException }) => !isException && ['*', '**', '**/*'].includes(text)),
    root,
    excludes,
  };
}

/** Whether the path itself is excluded, or a directory that it is in. */
export function excludesPath({ root, excludes }: IgnoreRules, name: string): boolean {
  let state = root;
  let below = '';
  for (const segment of name.split('/')) {
    below = below === '' ? segment : `${below}/${segment}`;
    const verdict = excludes(below, state);
    if (verdict.excluded) return true;
    state = verdict.state;
  }
  return false;
}

/** A line as a pattern, `!` first; undefined: a comment or nothing. */
function readLine(line: string): string | undefined {
  // Only in the first column: ` #x` is a pattern.
  return line.startsWith('#') ? undefined : readPattern(line);
}

function readPattern(line: string): string | undefined {
  const trimmed = line.trim();
  if (trimmed === '') return undefined;
  if (!trimmed.startsWith('!')) return clean(trimmed).replace(/^\/(?=.)/s, '');
  const rest = trimmed.slice(1).trim();
  return rest === '' ? '!' : `!${clean(rest).replace(/^\/(?=.)/s, '')}`;
}

/** Go's filepath.Clean. */
function clean(name: string): string {
  const normal = path.posix.normalize(name);
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal;
}

function compilePattern(written: string, where?: () => Location): Pattern {
  const fail = (message: string) => new TbuildError('context/ignore', message, { where: where?.() });
  if (written === '!') throw fail('illegal exclusion pattern: "!"');
  const isException = written.startsWith('!');
  const pattern = isException ? written.slice(1) : written;
  if (parseGlob(pattern) === undefined) throw fail(`syntax error in pattern: ${pattern}`);
  return {
    text: pattern,
    isException,
    matches: matcherOf(pattern),
    mayMatchBelow: belowTest(pattern),
  };
}

/** What needs no regular expression gets none: a context has many paths, and most patterns are plain names. */
function matcherOf(pattern: string): (name: string) => boolean {
  const [prefix = ''] = /^[^*?[\\]*/.exec(pattern) ?? [];
  if (prefix === pattern) return (name) => name === pattern;
  const [, last] = /^\*\*\/([^*?[\\]+)$/.exec(pattern) ?? [];
  if (last !== undefined) return (name) => name.endsWith(last) && (name.length === last.length || name.endsWith(`/${last}`));
  const isMatch = manyStars(pattern) ?? regularExpression(pattern);
  return (name) => name.startsWith(prefix) && isMatch(name);
}

function regularExpression(pattern: string): (name: string) => boolean {
  // minimatch shortens `a/..` to nothing; no path has such a segment, so nothing is lost.
  const possible = rewrite(pattern).filter((alternative) => !/(?:^|\/)\.\.?(?:\/|$)/.test(alternative));
  const expressions = possible.map((alternative) => minimatch.makeRe(alternative, options));
  return (name) => expressions.some((expression) => expression !== false && expression.test(name));
}

const options = {
  dot: true,
  nonegate: true,
  nocomment: true,
  nobrace: true,
  noext: true,
  platform: 'linux',
} as const;

/** Docker's pattern as one or two of minimatch's. Two things differ: `[!`, and `**` that is not a whole path segment. */
function rewrite(pattern: string): string[] {
  const plain = pattern.replaceAll(/\\.|\[!/gsu, (piece) => (piece === '[!' ? '[\\!' : piece));
  const pieces = splitAtStars(plain);
  if (pieces.length === 1) return [plain];
  const hasOtherWildcards = pieces.some((piece) => /[*?[\]\\]/.test(piece));
  let alternatives = [pieces[0]!];
  for (let i = 1; i < pieces.length; i++) {
    const after = pieces[i]!;
    const isLast = i === pieces.length - 1;
    alternatives = alternatives.flatMap((before) => {
      if (isLast && after === '') {
        if (before === '') return ['**'];
        return before.endsWith('/') ? [`${before}**/*`] : [`${before}*`, `${before}*/**`];
      }
      // What `**/` leaves is the same as what `**` leaves: zero or more whole directories.
      const rest = after.startsWith('/') ? after.slice(1) : after;
      if (before === '') {
        // A lone leading `**` before plain text is a suffix; with other wildcards it stands for directories.
        const isSuffix = pieces.length === 2 && !hasOtherWildcards && !after.startsWith('/');
        return [isSuffix ? `**/*${rest}` : `**/${rest}`];
      }
      if (before.endsWith('/')) return [`${before}**/${rest}`];
      return [`${before}${rest}`, `${before}*/**/${rest}`];
    });
  }
  return alternatives;
}

/** The pieces between runs of `**`; a `*` after an escape character is none. */
function splitAtStars(pattern: string): string[] {
  const pieces = [''];
  for (const [token] of pattern.matchAll(/\\.|\*\*|./gsu)) {
    if (token === '**') pieces.push('');
    else pieces[pieces.length - 1] += token;
  }
  return pieces;
}

/** Whether a path below `directory` could match: its segments match the pattern's first ones, and there are more. */
function belowTest(pattern: string): (directory: string) => boolean {
  const segments = pattern.split('/').map((segment): Glob | 'any' | undefined => {
    // A class may match a slash (`[^a]`, `[.-0]`): then segments cannot be told apart.
    return segment.includes('**') || segment.includes('[') ? 'any' : parseGlob(segment);
  });
  return (directory) => {
    const names = directory.split('/');
    for (const [i, name] of names.entries()) {
      const segment = segments[i];
      if (segment === 'any' || (segment === undefined && i < segments.length)) return true;
      if (segment === undefined || !matchesGlob(segment, name)) return false;
    }
    return segments.length > names.length;
  };
}

function lineOf(file: string, text: string, index: number): Location {
  const line = text.split('\n')[index] ?? '';
  return { file, text, range: { startLine: index + 1, startColumn: 0, endLine: index + 1, endColumn: line.length } };
}
