// Expansion against BuildKit's shell lexer: 864 words, and the two tables its own tests use.

import { type Environment, processWord, processWords } from '../../src/dockerfile/words.ts';
import { attempt, compareRows, type Deviation, difference, type Suite } from './suite.ts';

interface Row {
  readonly word: string;
  readonly escape: '\\' | '`';
  readonly env: readonly string[];
  readonly result: string;
  readonly words: readonly string[] | null;
  readonly error?: string;
  readonly words_error?: string;
}

function splitPair(entry: string): [string, string] {
  const equals = entry.indexOf('=');
  return [entry.slice(0, equals), entry.slice(equals + 1)];
}

/** Each word as one, and as many. */
export const words: Suite = {
  name: 'words',
  file: 'language/words.json',
  total: 864,
  compare: (text) =>
    compareRows(JSON.parse(text) as readonly Row[], (row) => {
      const environment: Environment = new Map(row.env.map(splitPair));
      const actual = [
        attempt(() => processWord(row.word, environment, row.escape)),
        attempt(() => processWords(row.word, environment, row.escape)),
      ];
      return compareRow(row.word, [row.error ?? row.result, row.words_error ?? row.words ?? []], actual);
    }),
};

/** Rows for Windows are left out: its variables have no case. */
export const envVarTable: Suite = {
  name: 'envVarTest',
  file: 'language/envVarTest',
  total: 228,
  compare: (text) => {
    const environment = new Map(['PWD=/home', 'SHELL=bash', 'KOREAN=한국어', 'NULL='].map(splitPair));
    const lines = linesOf(text).filter((line) => !line.startsWith('W|'));
    return compareRows(lines, (line) => {
      const [, word, result] = line.split('|').map((cell) => cell.trim()) as [string, string, string];
      const value = attempt(() => processWord(word, environment, '\\'));
      return compareRow(line, result, isError(value) ? 'error' : value);
    });
  },
};

export const wordsTable: Suite = {
  name: 'wordsTest',
  file: 'language/wordsTest',
  total: 24,
  compare: (text) => {
    const environment = new Map<string, string>();
    const rows: { line: string; words: readonly string[] | string; expected: readonly string[] | string }[] = [];
    for (const line of linesOf(text)) {
      if (line.startsWith('ENV ')) {
        environment.set(...splitPair(line.slice(4)));
        continue;
      }
      const [word, result] = line.split('|') as [string, string];
      const value = attempt(() => processWords(word.trim(), environment, '\\'));
      const expected = result.trim() === 'error' ? 'error' : result.trimStart().split(',');
      rows.push({ line, words: isError(value) ? 'error' : value, expected });
    }
    return compareRows(rows, (row) => compareRow(row.line, row.expected, row.words));
  },
};

const linesOf = (text: string): string[] => text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
const isError = (value: unknown): boolean => typeof value === 'string' && value.startsWith('failed to process');

function compareRow(name: string, expected: unknown, actual: unknown): Deviation | undefined {
  if (JSON.stringify(actual) === JSON.stringify(expected)) return undefined;
  return { case: name, difference: difference(expected, actual) };
}
