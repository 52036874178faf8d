// Any text is a Dockerfile, or a TbuildError with a place in it; what is printed is parsed as what it was printed from.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { SourceRange } from '../../src/base/errors.ts';
import { describeDockerfile } from '../../src/dockerfile/describe.ts';
import { parseSyntax } from '../../src/dockerfile/syntax.ts';
import { budget, timeoutMs } from './budget.ts';

const pieces = [
  ...[
    'FROM x',
    'FROM x AS b',
    'ONBUILD ',
    'RUN ',
    'COPY ',
    'ADD ',
    'ENV ',
    'ARG ',
    'LABEL ',
    'HEALTHCHECK ',
    'CMD ',
    'EXPOSE ',
    'VOLUME ',
    'SHELL ',
  ],
  ...[
    '--mount=type=',
    '--from=',
    '--link',
    '-- ',
    'a=b',
    '"',
    "'",
    '\\',
    '`',
    '[',
    ']',
    ',',
    '["a"]',
    '${',
    '}',
    ':-',
    '$',
    '<<EOF',
    '<<-"E F"',
    'EOF',
  ],
  ...[' ', '\t', '\n', '\n', '\n', '\r\n', '\r', '# escape=`\n', '#', '=', '\0', '\ufeff', '\u00a0', '\ud800', '日', 'x', '0'],
];
const text = fc.oneof(
  fc.array(fc.constantFrom(...pieces), { maxLength: 40 }).map((all) => all.join('')),
  fc.string(),
);

/** The lines as the parser counts them. */
const linesOf = (written: string) => written.replace(/^\ufeff/, '').split('\n');

function expectInside(lines: readonly string[], range: SourceRange): void {
  const { startLine, startColumn, endLine, endColumn } = range;
  const inside = startLine >= 1 && endLine <= lines.length && startColumn >= 0 && endColumn <= lines[endLine - 1]!.length;
  const isOrdered = startLine < endLine || (startLine === endLine && startColumn <= endColumn);
  if (!inside || !isOrdered) throw new Error(`${JSON.stringify(range)} is no range of ${JSON.stringify(lines)}`);
}

function* rangesOf(value: unknown): Generator<SourceRange> {
  if (typeof value !== 'object' || value === null) return;
  if ('startLine' in value) yield value as SourceRange;
  else for (const member of Object.values(value)) yield* rangesOf(member);
}

test('any text: all ranges lie in it, and so does the place of the error', { timeout: timeoutMs }, () => {
  fc.assert(
    fc.property(text, (written) => {
      const lines = linesOf(written);
      const { description, error } = describeDockerfile(written, 'Dockerfile');
      for (const range of rangesOf(description)) expectInside(lines, range);
      if (error !== undefined) expectInside(lines, error.where!.range);
    }),
    budget,
  );
});

test('any bytes', { timeout: timeoutMs }, () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      describeDockerfile(bytes, 'Dockerfile');
    }),
    budget,
  );
});

const word = fc.stringMatching(/^[a-zA-Z0-9_./:@%-]{1,8}$/).filter((one) => !one.startsWith('--'));
const line = fc.stringMatching(/^[ -~]{0,20}$/);
const instruction = fc.oneof(
  fc.record({
    keyword: fc.constantFrom('RUN', 'CMD', 'ENTRYPOINT'),
    args: fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 4 }),
    json: fc.constant(true),
  }),
  fc.record({
    keyword: fc.constantFrom('COPY', 'ADD', 'EXPOSE', 'VOLUME'),
    args: fc.array(word, { minLength: 2, maxLength: 4 }),
    json: fc.constant(false),
  }),
);
const flags = fc.array(fc.stringMatching(/^--[a-z]{1,6}=[a-z0-9,=/]{1,8}$/), { maxLength: 3 });
/** Between words: blanks, or the end of a line that continues, a comment within or not. */
const gap = fc.constantFrom(' ', '  ', '\t', ' \\\n ', ' \\\n# a comment\n  ', ' \\  \n\n ');

test('what is printed is parsed as what it was printed from', { timeout: timeoutMs }, () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(instruction, flags, gap), { minLength: 1, maxLength: 5 }), (all) => {
      const printed = all.map(([{ keyword, args, json }, given, between]) =>
        [keyword, ...given, ...(json ? [JSON.stringify(args)] : args)].join(between),
      );
      const { nodes } = parseSyntax(`${printed.join('\n')}\n`, 'Dockerfile');
      const read = nodes.map(({ keyword, args, json, flags: found }) => [{ keyword, args, json }, found]);
      const wanted = all.map(([one, given]) => [{ ...one, args: one.args.map((arg) => arg.toWellFormed()) }, given]);
      expect(read).toEqual(wanted);
    }),
    budget,
  );
});

test('a heredoc’s body is what stands before its end', { timeout: timeoutMs }, () => {
  fc.assert(
    fc.property(
      fc.array(line.filter((one) => one !== 'EOF')),
      fc.constantFrom('RUN <<EOF', 'COPY <<"EOF" /x', 'RUN cat <<EOF | sh'),
      (body, head) => {
        const content = body.map((one) => `${one}\n`).join('');
        const { nodes } = parseSyntax(`${head}\n${content}EOF\nRUN after`, 'Dockerfile');
        expect(nodes).toHaveLength(2);
        expect(nodes[0]!.heredocs).toMatchObject([{ name: 'EOF', content, startLine: 2, endLine: body.length + 2 }]);
      },
    ),
    budget,
  );
});
