// The behaviours of the language that are easily missed are 80, each with a number and a sentence. Each has one test, named by both; where the
// document that lists them is at hand, the sentences are its own.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.test.ts') && file !== 'all.test.ts')
  .flatMap((file) => testNames(readFileSync(path.join(import.meta.dirname, file), 'utf8')))
  .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));

test('each of the 80 has one test', () => {
  expect(names.map((name) => Number.parseInt(name, 10))).toEqual(Array.from({ length: 80 }, (_, index) => index + 1));
});

const document = path.join(import.meta.dirname, '../../../shared/dockerfile-language.md');

test.skipIf(!existsSync(document))('their names are the sentences of the document (skipped where ../shared is not here)', () => {
  const section =
    readFileSync(document, 'utf8')
      .split(/^## /m)
      .find((text) => text.startsWith('1.8 ')) ?? '';
  expect(names).toEqual(section.split('\n').filter((line) => /^\d+\. /.test(line)));
});

/** The names of the tests of a file: `test('1. …'`, in either kind of quotes. */
function testNames(source: string): string[] {
  return [...source.matchAll(/^test\(\s*(['"])(\d+\..*?[^\\])\1,/gms)].map(([, , name = '']) => name.replaceAll(/\\(.)/g, '$1'));
}
