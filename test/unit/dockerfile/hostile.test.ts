// Dockerfiles made to take all time or memory: each is read, or refused, in a bounded time. The limits are far above what it takes, for busy machines.

import { expect, test } from 'vitest';
import { TbuildError } from '../../../src/base/errors.ts';
import { compileIgnore } from '../../../src/context/ignore.ts';
import { parseDockerfile } from '../../../src/dockerfile/parse.ts';
import { readDockerfile, repeatLines } from '../../support/read-dockerfile.ts';

/** On `FROM x` unless it has its own. */
const files: readonly (readonly [title: string, text: () => string, expected: number | string])[] = [
  ['17 MiB', () => 'RUN x\n'.repeat(3_000_000), 'dockerfile/too-large'],
  [
    '5,000 heredocs of one COPY',
    () => `COPY ${repeatLines(5000, (i) => `<<E${i} `)}/x/\n${repeatLines(5000, (i) => `a\nE${i}\n`)}`,
    2,
  ],
  ['variables for each of many RUNs', () => repeatLines(5000, (i) => `ENV e${i}=1\nRUN true\n`), 'dockerfile/too-large'],
  ['ports', () => `EXPOSE ${'0-65535 '.repeat(500)}`, 'dockerfile/too-large'],
  ['labels', () => repeatLines(4000, (i) => `LABEL l${i}=1\n`), 'dockerfile/too-large'],
  ['a value that doubles', () => `ENV a=aaaaaaaa\n${'ENV a=$a$a\n'.repeat(60)}`, 'dockerfile/substitution'],
  [
    'a large value, copied',
    () => `ENV a=${'a'.repeat(60_000)}\n${repeatLines(5000, (i) => `ENV a${i}=$a\n`)}`,
    'dockerfile/too-large',
  ],
  [
    'triggers for each of many stages',
    () =>
      `FROM x AS a\n${repeatLines(10_000, (i) => `ONBUILD RUN ${i}\n`)}${repeatLines(20, (i) => `FROM a AS b${i}\n`)}FROM x\n${repeatLines(20, (i) => `COPY --from=b${i} a b\n`)}`,
    'dockerfile/too-large',
  ],
  ['ONBUILD of ONBUILD of …', () => `${'ONBUILD '.repeat(8000)}RUN x`, 'dockerfile/onbuild'],
  ['nesting', () => `ENV a=${`\${a:-`.repeat(10_000)}`, 'dockerfile/substitution'],
  ['nesting over lines', () => `ENV a=${`${`\${a:-`.repeat(10_000)}\\\n`.repeat(20)}`, 'dockerfile/substitution'],
  ['a search for a pattern', () => `ENV v=${'a'.repeat(60_000)}\nENV w=\${v//*a*a*a*a*b/c}`, 'dockerfile/substitution'],
  ['blanks', () => `RUN a${' '.repeat(65_000)}x\n`, 2],
  ['carriage returns', () => `RUN a${'\r'.repeat(65_000)}x\n`, 2],
  ['lone escapes', () => `RUN a${'\\'.repeat(65_001)}\n${'\\\n'.repeat(10_000)}`, 'dockerfile/unknown-instruction'],
  ['quotes', () => `ENV a=${`"'`.repeat(30_000)}`, 1],
  ['digits of a duration', () => `HEALTHCHECK --interval=${'1'.repeat(65_000)} CMD x`, 'dockerfile/duration'],
  ['brackets', () => `RUN ${'['.repeat(30_000)}${']'.repeat(30_000)}`, 'dockerfile/json'],
  ['mount options', () => `RUN --mount=${'a=,'.repeat(20_000)} x`, 'dockerfile/mount'],
  [
    'long words to compare',
    () => `FROM x AS ${'a'.repeat(60_000)}\nCOPY --from=${'a'.repeat(59_999)} a b`,
    'image/bad-reference',
  ],
  ['a line that is too long', () => `RUN ${'a'.repeat(65_532)}`, 'dockerfile/long-line'],
  ['the longest line', () => `RUN ${'a'.repeat(65_531)}`, 2],
  ['NULs', () => 'RUN \0\0\nENV a=\0\nCOPY \0 /\n', 'dockerfile/zero-byte'],
  ['line ends of both kinds and neither', () => 'RUN a \\\r\n b\nRUN c\rd\r\n\r\nRUN e\r', 4],
];

test.each(files)('%s', { timeout: 60_000 }, async (_, text, expected) => {
  const body = text();
  expect(await readDockerfile(body.startsWith('FROM ') ? body : `FROM x\n${body}`)).toBe(expected);
});

test('bytes that are no UTF-8 are replaced, wherever they stand', () => {
  const bytes = Buffer.concat([Buffer.from('FROM x\nENV a='), Buffer.from([0xff, 0xfe, 0xc3]), Buffer.from('\nRUN x\n')]);
  expect(parseDockerfile(bytes, 'Dockerfile').stages[0]!.instructions[0]).toMatchObject({
    pairs: [{ name: 'a', value: '\ufffd\ufffd\ufffd' }],
  });
});

test.each([
  ['*a*a*a*a*a*a*a*a*a*a*b', 'a'.repeat(255)],
  ['**/a/**/a/**/a/**/a/**/b', 'a/'.repeat(2000)],
  ['a**'.repeat(40), 'a'.repeat(200)],
  ['['.repeat(1000), 'a'],
])('the ignore pattern %.20s', { timeout: 10_000 }, (pattern, name) => {
  try {
    const rules = compileIgnore(pattern, '.dockerignore');
    rules.excludes(name, rules.root);
  } catch (error) {
    expect(error).toBeInstanceOf(TbuildError);
  }
});
