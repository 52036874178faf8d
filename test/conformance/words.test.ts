// Expansion against BuildKit's shell lexer: 864 words, and the two tables its own tests use.

import { expect, test } from 'vitest';
import { TbuildError } from '../../src/base/errors.ts';
import { type Environment, processWord, processWords } from '../../src/dockerfile/words.ts';
import { describeReference, report } from './reference.ts';

interface Row {
  readonly word: string;
  readonly escape: '\\' | '`';
  readonly env: readonly string[];
  readonly result: string;
  readonly words: readonly string[] | null;
  readonly error?: string;
  readonly words_error?: string;
}

const environmentOf = (list: readonly string[]): Environment =>
  new Map(list.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]));

/** The value, or the error's message. */
function attempt<T>(action: () => T): T | string {
  try {
    return action();
  } catch (error) {
    if (error instanceof TbuildError) return error.message;
    throw error;
  }
}

describeReference('words.json', 'language/words.json', (text) => {
  const rows = JSON.parse(text) as readonly Row[];
  test('every word, as one and as many', () => {
    const failed = rows.filter((row) => {
      const environment = environmentOf(row.env);
      const value = attempt(() => processWord(row.word, environment, row.escape));
      const words = attempt(() => processWords(row.word, environment, row.escape));
      return value !== (row.error ?? row.result) || JSON.stringify(words) !== JSON.stringify(row.words_error ?? row.words ?? []);
    });
    expect(report(failed)).toBe('');
    expect(rows.length - failed.length).toBe(864);
  });
});

describeReference('envVarTest', 'language/envVarTest', (text) => {
  const environment = environmentOf(['PWD=/home', 'SHELL=bash', 'KOREAN=한국어', 'NULL=']);
  const rows = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#') && !line.startsWith('W|'));
  test('every row for Linux', () => {
    const failed = rows.filter((line) => {
      const [, word, result] = line.split('|').map((cell) => cell.trim()) as [string, string, string];
      const value = attempt(() => processWord(word, environment, '\\'));
      return result === 'error' ? !value.startsWith('failed to process') : value !== result;
    });
    expect(report(failed)).toBe('');
    expect(rows.length - failed.length).toBe(rows.length);
    expect(rows.length).toBeGreaterThan(200);
  });
});

describeReference('wordsTest', 'language/wordsTest', (text) => {
  test('every row', () => {
    const environment = new Map<string, string>();
    let passed = 0;
    for (const line of text.split('\n')) {
      if (line.trim() === '' || line.startsWith('#')) continue;
      if (line.startsWith('ENV ')) {
        const assignment = line.slice(4);
        environment.set(assignment.slice(0, assignment.indexOf('=')), assignment.slice(assignment.indexOf('=') + 1));
        continue;
      }
      const [word, result] = line.split('|') as [string, string];
      const words = attempt(() => processWords(word.trim(), environment, '\\'));
      if (result.trim() === 'error') expect(words, line).toMatch(/^failed to process/);
      else expect(words, line).toEqual(result.trimStart().split(','));
      passed++;
    }
    expect(passed).toBeGreaterThan(20);
  });
});
