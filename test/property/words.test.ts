// Words against a reference: what is generated is a word together with what it must become. Any other text is a TbuildError at worst.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TbuildError } from '../../src/base/errors.ts';
import { processWord, processWords } from '../../src/dockerfile/words.ts';
import { budget, timeoutMs } from './budget.ts';

const environment = new Map([
  ['set', 'value'],
  ['path', 'a/b/c.tar'],
  ['empty', ''],
]);

/** A piece of a word, and its value. */
type Piece = readonly [written: string, value: string];

const plain: fc.Arbitrary<Piece> = fc.stringMatching(/^[a-z0-9_./,=-]{1,5}$/).map((text) => [text, text]);
const single: fc.Arbitrary<Piece> = fc.stringMatching(/^[a-z$"\\{} ]{0,5}$/).map((text) => [`'${text}'`, text]);
const escaped: fc.Arbitrary<Piece> = fc.constantFrom(...'abc$"\'\\ {}').map((character) => [`\\${character}`, character]);
const name = fc.constantFrom('set', 'path', 'empty', 'unset');
const simple: fc.Arbitrary<Piece> = name.map((one) => [`\${${one}}`, environment.get(one) ?? '']);
const trimmed: fc.Arbitrary<Piece> = fc.constantFrom<Piece>(
  [`\${path#*/}`, 'b/c.tar'],
  [`\${path##*/}`, 'c.tar'],
  [`\${path%/*}`, 'a/b'],
  [`\${path%%.*}`, 'a/b/c'],
  [`\${path/b/x}`, 'a/x/c.tar'],
  [`\${path//[/x}`, 'a/b/c.tar'],
  [`\${path//?b/x}`, 'ax/c.tar'],
);

const { pieces } = fc.letrec<{ pieces: Piece; piece: Piece; choice: Piece; double: Piece }>((tie) => ({
  pieces: fc
    .array(tie('piece'), { maxLength: 5 })
    .map((all): Piece => [all.map(([text]) => text).join(''), all.map(([, value]) => value).join('')]),
  piece: fc.oneof({ maxDepth: 4, withCrossShrink: true }, plain, single, escaped, simple, trimmed, tie('choice'), tie('double')),
  choice: fc.tuple(name, fc.constantFrom(':-', '-', ':+', '+'), tie('pieces')).map(([one, operator, [text, value]]): Piece => {
    const known = environment.get(one);
    const isMissing = known === undefined || (operator.startsWith(':') && known === '');
    const written = `\${${one}${operator}${text}}`;
    if (operator.endsWith('-')) return [written, isMissing ? value : known];
    return [written, isMissing ? '' : value];
  }),
  double: fc
    .array(
      fc.oneof(
        fc.stringMatching(/^[a-z '{}]{0,4}$/).map((text): Piece => [text, text]),
        simple,
        fc.constantFrom<Piece>(['\\$', '$'], ['\\"', '"'], ['\\\\', '\\'], ['\\x', '\\x']),
      ),
      {
        maxLength: 4,
      },
    )
    .map((all): Piece => [`"${all.map(([text]) => text).join('')}"`, all.map(([, value]) => value).join('')]),
}));

test('a word becomes what its pieces are', { timeout: timeoutMs }, () => {
  fc.assert(
    fc.property(pieces, ([text, value]) => {
      expect(processWord(text, environment, '\\')).toBe(value);
    }),
    budget,
  );
});

const anything = fc.oneof(
  fc.array(fc.constantFrom('$', ...'{}:-+?#%/*"\'\\` a<é'), { maxLength: 30 }).map((all) => all.join('')),
  fc.string(),
);

test('any text', { timeout: timeoutMs }, () => {
  fc.assert(
    fc.property(anything, fc.constantFrom('\\' as const, '`' as const), (text, escapeToken) => {
      try {
        processWord(text, environment, escapeToken);
        processWords(text, environment, escapeToken);
      } catch (error) {
        if (!(error instanceof TbuildError)) throw error;
        expect(error.message).toMatch(/^failed to process "/);
      }
    }),
    budget,
  );
});
