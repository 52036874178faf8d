import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TbuildError } from '../../../src/base/errors.ts';
import { Checks } from '../../../src/dockerfile/checks.ts';
import type { Instruction } from '../../../src/dockerfile/instructions.ts';
import { parseDockerfile, parseTrigger } from '../../../src/dockerfile/parse.ts';
import { parseSyntax } from '../../../src/dockerfile/syntax.ts';

const parse = (text: string) => parseDockerfile(text, 'Dockerfile');

/** The instructions after FROM, without their places. */
function instructions(text: string): Partial<Instruction>[] {
  return parse(`FROM x\n${text}`).stages[0]!.instructions.map(
    ({ where: _, original: __, places: ___, comments: ____, ...rest }) => rest,
  );
}

/** `code: message (lines a-b)`. */
function errorOf(text: string): string {
  try {
    parse(text);
  } catch (error) {
    if (!(error instanceof TbuildError)) throw error;
    const { startLine, endLine } = error.where!.range;
    return `${error.code}: ${error.message} (lines ${startLine}-${endLine})`;
  }
  throw new Error('it was parsed');
}

const commands = (text: string) =>
  instructions(text).map((instruction) => (instruction.kind === 'run' ? instruction.command : instruction));

test('a byte order mark, CRLF and a directive together', () => {
  const dockerfile = parse('\ufeff# escape=`\r\nFROM x\r\nRUN a `  \r\n  b\r\n');
  expect(dockerfile.escapeToken).toBe('`');
  expect(dockerfile.stages[0]!.instructions[0]).toMatchObject({ command: { form: 'shell', text: 'a   b' } });
});

test('directives end at the first line that is none', () => {
  expect(parse('\n# escape=`\nFROM x').escapeToken).toBe('\\');
  expect(parse('# foo=bar\n# escape=`\nFROM x').escapeToken).toBe('\\');
  expect(parse('# Syntax = a/b:1 --flag \nFROM x').syntax).toBe('a/b:1 --flag');
  expect(errorOf('# escape=\\\n# escape=\\\nFROM x')).toBe(
    'dockerfile/directive: only one escape parser directive can be used (lines 2-2)',
  );
  expect(errorOf('# escape=x\nFROM x')).toContain("invalid escape token 'x'");
});

test('continuations: blanks after the escape, comments and blank lines inside, an escaped escape, the end of the file', () => {
  expect(commands('RUN a \\ \t\n # gone\n\n  b')).toEqual([{ form: 'shell', text: 'a   b', heredocs: [] }]);
  expect(commands('RUN a \\\\\nRUN b')).toHaveLength(2);
  expect(commands('RUN a \\')).toEqual([{ form: 'shell', text: 'a', heredocs: [] }]);
  expect(commands('\\\nRUN a')).toHaveLength(1);
  expect(commands('RU\\\nN a')).toHaveLength(1);
  expect(commands('RUN a # b')).toEqual([{ form: 'shell', text: 'a # b', heredocs: [] }]);
});

test('JSON form: strings alone; what does not parse is text', () => {
  expect(commands('RUN ["a", "b\\n\\u00e9"]')).toEqual([{ form: 'exec', args: ['a', 'b\né'] }]);
  expect(commands("RUN ['a']")).toEqual([{ form: 'shell', text: "['a']", heredocs: [] }]);
  expect(commands('RUN ["a"] b')).toEqual([{ form: 'shell', text: '["a"] b', heredocs: [] }]);
  expect(errorOf('FROM x\nRUN ["a", 1]')).toBe(
    'dockerfile/json: when using JSON array syntax, arrays must be comprised of strings only (lines 2-2)',
  );
});

test('ENV: pairs, the old form, quotes in names', () => {
  expect(instructions('ENV a=1 b="x y" "c d"=e')).toEqual([
    {
      kind: 'env',
      pairs: [
        { name: 'a', value: '1' },
        { name: 'b', value: '"x y"' },
        { name: '"c d"', value: 'e' },
      ],
    },
  ]);
  expect(instructions('ENV a b  c=d')).toEqual([{ kind: 'env', pairs: [{ name: 'a', value: 'b  c=d', isLegacy: true }] }]);
  expect(errorOf('FROM x\nENV a=1 b')).toContain('can\'t find = in "b"');
  expect(errorOf('FROM x\nENV =1')).toContain('ENV names can not be blank');
});

test('flags: quoted values, a bare --, words of the command', () => {
  const [run] = instructions('RUN --mount=type=cache,target="/a b" --network=none -- --x');
  expect(run).toMatchObject({ mounts: ['type=cache,target=/a b'], network: 'none', command: { text: '--x' } });
  expect(instructions('RUN ./run--all.sh --force')).toMatchObject([{ command: { text: './run--all.sh --force' } }]);
  expect(instructions('COPY --link=FALSE --parents a b')).toMatchObject([{ link: false, parents: true }]);
});

test.each([
  ['COPY --link= a b', 'dockerfile/flag: missing a value on flag: --link (lines 2-2)'],
  ['COPY --link=1 a b', 'dockerfile/flag: expecting boolean value for flag --link, not: 1 (lines 2-2)'],
  ['COPY --chown a b', 'dockerfile/flag: missing a value on flag: --chown (lines 2-2)'],
  ['COPY --from=a --from=b a b', 'dockerfile/flag: duplicate flag specified: --from (lines 2-2)'],
  ['COPY --chwon=1 a b', 'dockerfile/flag: unknown flag: --chwon (did you mean chown?) (lines 2-2)'],
  ['RUN --network=hots x', 'dockerfile/flag: unsupported network mode "hots" (did you mean host?) (lines 2-2)'],
  [
    'RUN --mount=from=$x y',
    "dockerfile/mount: 'from' doesn't support variable expansion, define alias stage instead (lines 2-2)",
  ],
  [
    'COPY a',
    'dockerfile/arguments: COPY requires at least two arguments, but only one was provided. destination could not be determined (lines 2-2)',
  ],
  ['COPY a <<EOF\nEOF', 'dockerfile/heredoc: COPY cannot accept a heredoc as a destination (lines 2-2)'],
  ['RUN <<EOF\na', 'dockerfile/heredoc: unterminated heredoc (lines 2-2)'],
  ['RUM x', 'dockerfile/unknown-instruction: unknown instruction: RUM (did you mean RUN?) (lines 2-2)'],
  ['constructor x', 'dockerfile/unknown-instruction: unknown instruction: constructor (lines 2-2)'],
  ['ONBUILD ONBUILD RUN x', "dockerfile/onbuild: chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed (lines 2-2)"],
  ['ONBUILD FROM x', "dockerfile/onbuild: FROM isn't allowed as an ONBUILD trigger (lines 2-2)"],
  ['HEALTHCHECK NONE x', 'dockerfile/arguments: HEALTHCHECK NONE takes no arguments (lines 2-2)'],
  ['HEALTHCHECK CMD', 'dockerfile/arguments: missing command after HEALTHCHECK CMD (lines 2-2)'],
  ['HEALTHCHECK --interval=1us CMD x', 'dockerfile/duration: interval "interval" cannot be less than 1ms (lines 2-2)'],
  ['HEALTHCHECK --timeout=5 CMD x', 'dockerfile/duration: invalid duration "5" (lines 2-2)'],
  ['SHELL /bin/sh', 'dockerfile/json: SHELL requires the arguments to be in JSON form: SHELL /bin/sh (lines 2-2)'],
  ['VOLUME [""]', 'dockerfile/arguments: VOLUME specified can not be an empty string (lines 2-2)'],
  ['FROM a b', 'dockerfile/arguments: FROM requires either one or three arguments (lines 2-2)'],
  [
    'FROM a AS 1x',
    'dockerfile/stage-name: invalid name for build stage: "1x", name can\'t start with a number or contain symbols (lines 2-2)',
  ],
  ['WORKDIR', 'dockerfile/arguments: WORKDIR requires exactly one argument (lines 2-2)'],
])('%s', (text, error) => {
  expect(errorOf(`FROM x\n${text}`)).toBe(error);
});

test.each([
  ['', 'dockerfile/empty: the Dockerfile cannot be empty (lines 1-1)'],
  ['# only\n\n', 'dockerfile/no-instructions: file with no instructions (lines 1-2)'],
  ['RUN x', 'dockerfile/no-stage: no build stage in current context (lines 1-1)'],
  ['ARG x', 'dockerfile/no-stage: dockerfile contains no stages to build (lines 1-1)'],
  [
    `FROM x\nRUN ${'y'.repeat(65_532)}`,
    'dockerfile/long-line: dockerfile line greater than max allowed size of 65535 (lines 2-2)',
  ],
])('a file that is none: %#', (text, error) => {
  expect(errorOf(text)).toBe(error);
});

test('the longest line that is taken', () => {
  expect(commands(`RUN ${'y'.repeat(65_531)}`)).toHaveLength(1);
});

test('heredocs: names, tabs, quotes, several on a line, digits before and blanks after the mark', () => {
  const text = 'RUN <<-A cat && cat 3<<"B C" <<  D\n\t\t1\n\tA\nb\nB C\nd\nD\nRUN next';
  const [run, next] = parse(`FROM x\n${text}`).stages[0]!.instructions;
  expect(run).toMatchObject({
    command: {
      heredocs: [
        { name: 'A', content: '\t\t1\n', body: '1\n' },
        { name: 'B C', content: 'b\n' },
        { name: 'D', content: 'd\n' },
      ],
    },
    where: { range: { startLine: 2, endLine: 8 } },
  });
  expect(next!.where.range.startLine).toBe(9);
});

test('a heredoc’s body holds what looks like instructions, continuations and comments', () => {
  const [run, next] = instructions('RUN <<EOF\nFROM y\n# c\nx \\\nEOF\nENV a=b');
  expect(run).toMatchObject({ command: { heredocs: [{ content: 'FROM y\n# c\nx \\\n' }] } });
  expect(next).toMatchObject({ kind: 'env' });
});

test('no heredoc where it is no shell word: quoted, arithmetic, JSON, another instruction', () => {
  for (const text of ['RUN echo "<<EOF"', 'RUN echo $((1<<2))', 'RUN ["<<EOF"]', 'CMD <<EOF', 'RUN cat <<<x']) {
    expect(commands(text), text).toHaveLength(1);
  }
});

test('COPY of heredocs beside files', () => {
  expect(instructions("COPY a <<X <<'Y' /d/\n$x\nX\n$y\nY")).toMatchObject([
    {
      sources: ['a'],
      inline: [
        { name: 'X', content: '$x\n', expand: true },
        { name: 'Y', content: '$y\n', expand: false },
      ],
      destination: '/d/',
    },
  ]);
});

test('ONBUILD keeps its heredocs, and a trigger is read from them', () => {
  const [onbuild] = instructions('onbuild  RUN <<EOF\nx\nEOF');
  expect(onbuild).toMatchObject({ kind: 'onbuild', trigger: 'RUN <<EOF\nx\nEOF' });
  const where = parse('FROM x').stages[0]!.where;
  expect(parseTrigger('RUN <<EOF\nx\nEOF', where)).toMatchObject({ kind: 'run', command: { heredocs: [{ body: 'x\n' }] } });
  expect(() => parseTrigger('RUN a\nRUN b', where)).toThrow('onbuild trigger should be a single expression');
});

test('HEALTHCHECK: durations as Go writes them', () => {
  expect(instructions('HEALTHCHECK --interval=1m30s --timeout=.5s --start-period=0 --retries=3 CMD a b')).toMatchObject([
    { test: ['CMD-SHELL', 'a b'], intervalNs: 90e9, timeoutNs: 5e8, startPeriodNs: 0, startIntervalNs: 0, retries: 3 },
  ]);
});

test('places: indentation, keywords, comments above', () => {
  const { nodes } = parseSyntax('FROM x\n\n# one\n# two\n  RUN a \\\n   b\n#\n# three\nCMD c\n', 'Dockerfile');
  expect(nodes[1]!.where.range).toEqual({ startLine: 5, startColumn: 2, endLine: 6, endColumn: 4 });
  expect(nodes[1]!.keywordRange).toEqual({ startLine: 5, startColumn: 2, endLine: 5, endColumn: 5 });
  expect(nodes[1]!.comments).toEqual(['one', 'two']);
  expect(nodes[2]!.comments).toEqual(['three']);
});

test('any lines are a Dockerfile or a TbuildError, and never a bug', () => {
  const line = fc.constantFrom(
    'RUN a',
    'RUN a \\',
    'RUN <<A <<B',
    'A',
    'B',
    '\tA',
    '# c',
    '#',
    '',
    '  ',
    '\\',
    '\\ \\',
    'x \\\\',
    'COPY <<A <<-B /x',
    'ONBUILD RUN <<A',
    'RU\\',
    'N x',
    '\u00a0RUN x',
    '\u0085',
    '\ufeffRUN',
    'ENV a="',
    "RUN '<<A",
    '# escape=`',
    'RUN a `',
    '`',
    '  # c \\',
    'RUN["a"]',
    'RUN\\',
    '<<A',
    'RUN \\ \\',
    'RUN a\\ \\\\ \\',
    'HEALTHCHECK CMD [',
    '\f',
    '\v RUN b',
    'CMD \\# x',
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), fc.constantFrom('\n', '\r\n'), (lines, end) => {
      try {
        const { nodes } = parseSyntax(lines.join(end), 'Dockerfile');
        // Nothing overlaps, and all of it is in order.
        const bounds = nodes.flatMap(({ where: { range } }) => [range.startLine, range.endLine]);
        expect(bounds).toEqual(bounds.toSorted((a, b) => a - b));
        expect(nodes.every(({ where: { range }, keywordRange }) => keywordRange.startLine >= range.startLine)).toBe(true);
      } catch (error) {
        if (!(error instanceof TbuildError)) throw error;
        expect(error.code).toMatch(/^dockerfile\//);
      }
    }),
    { numRuns: 2000 },
  );
});

function warningsOf(text: string) {
  const checks = new Checks();
  parseDockerfile(text, 'Dockerfile', checks);
  return checks.warnings;
}

test('build checks that parsing answers, and what silences them', () => {
  const text = 'from x as Name\nMAINTAINER me\nRUN a \\\n\n b\n';
  const rules = (prefix: string) => warningsOf(prefix + text).map(({ rule, where }) => `${rule} ${where.range.startLine}`);
  expect(rules('')).toEqual([
    'NoEmptyContinuation 5',
    'StageNameCasing 1',
    'MaintainerDeprecated 2',
    'ConsistentInstructionCasing 1',
  ]);
  expect(rules('# check=skip=StageNameCasing,MaintainerDeprecated,ConsistentInstructionCasing;error=true\n')).toEqual([
    'NoEmptyContinuation 6',
  ]);
  expect(rules('# check=skip=all\n')).toEqual([]);
  expect(rules('\n# check=skip=StageNameCasing,ConsistentInstructionCasing\n')).toEqual([
    'NoEmptyContinuation 7',
    'MaintainerDeprecated 4',
  ]);
  expect(warningsOf('FROM x as y')).toMatchObject([
    {
      rule: 'FromAsCasing',
      message: "'as' and 'FROM' keywords' casing do not match",
      url: 'https://docs.docker.com/go/dockerfile/rule/from-as-casing/',
    },
  ]);
});
