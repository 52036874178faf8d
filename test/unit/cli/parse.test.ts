import { expect, test } from 'vitest';
import type { DockerfileDescription } from '../../../src/dockerfile/describe.ts';
import { tbuild } from './fake-surroundings.ts';

const text = `# syntax=docker/dockerfile:1
ARG V=1
# the first
from golang:$V as Build
COPY --chown=1:2 a \\
  "b" <<-EOF c/
\thello $x
EOF
RUN ["a", "b c"]
ENV a=1 b="2 3"
ONBUILD RUN --network=none x
FROM scratch
HEALTHCHECK --interval=1s CMD ["x"]
`;

test('a Dockerfile as people like to read it', async () => {
  const { stdout, exitCode } = await tbuild(['parse', '-'], { stdin: text });
  expect(exitCode).toBe(0);
  expect(stdout).toMatchInlineSnapshot(`
    "syntax docker/dockerfile:1

            2  ARG          V=1

    stage 0: build
            4  FROM         golang:$V as Build
          5-8  COPY         --chown=1:2
                            a "b" <<-EOF c/
                            <<EOF
                            |         hello $x
            9  RUN          ["a","b c"]
           10  ENV          a=1
                            b="2 3"
           11  ONBUILD      (run ["--network=none"] "x")

    stage 1
           12  FROM         scratch
           13  HEALTHCHECK  --interval=1s
                            CMD ["x"]
    "
  `);
});

/** What stands in a range of the text. */
function textIn({
  startLine,
  startColumn,
  endLine,
  endColumn,
}: NonNullable<DockerfileDescription['stages']>[number]['range']): string {
  const lines = text.split('\n').slice(startLine - 1, endLine);
  lines[lines.length - 1] = lines.at(-1)!.slice(0, endColumn);
  lines[0] = lines[0]!.slice(startColumn);
  return lines.join('\n');
}

test('JSON: the range of everything', async () => {
  const { stdout } = await tbuild(['parse', '--json', '-'], { stdin: text });
  const { instructions, stages, meta_arg_ranges: metaArgs, ...rest } = JSON.parse(stdout) as DockerfileDescription;
  expect(rest).toEqual({
    escape: '\\',
    syntax: 'docker/dockerfile:1',
    meta_args: ['V=1'],
    lint_rules: ['StageNameCasing:1'],
  });
  expect(metaArgs!.map(textIn)).toEqual(['V=1']);
  expect(stages!.map(({ base_range, name_range }) => [textIn(base_range), name_range && textIn(name_range)])).toEqual([
    ['golang:$V', 'Build'],
    ['scratch', undefined],
  ]);
  expect(
    instructions!.map(({ cmd, keyword_range, flag_ranges = [], arg_ranges, heredocs = [] }) => [
      cmd,
      textIn(keyword_range),
      flag_ranges.map(textIn),
      arg_ranges.map(textIn),
      heredocs.map(({ range }) => textIn(range)),
    ]),
  ).toEqual([
    ['ARG', 'ARG', [], ['V=1'], []],
    ['FROM', 'from', [], ['golang:$V', 'as', 'Build'], []],
    ['COPY', 'COPY', ['--chown=1:2'], ['a', '"b"', '<<-EOF', 'c/'], ['\thello $x\n']],
    ['RUN', 'RUN', [], ['"a"', '"b c"'], []],
    ['ENV', 'ENV', [], ['a', '1', '=', 'b', '"2 3"', '='], []],
    ['ONBUILD', 'ONBUILD', [], ['RUN --network=none x'], []],
    ['FROM', 'FROM', [], ['scratch'], []],
    ['HEALTHCHECK', 'HEALTHCHECK', ['--interval=1s'], ['CMD', '"x"'], []],
  ]);
});

test('what is wrong is printed, and is in the JSON', async () => {
  const { stdout, stderr, exitCode } = await tbuild(['parse', '--json', '-'], { stdin: 'FROM x\nCPOY a b\n' });
  expect(exitCode).toBe(3);
  expect(JSON.parse(stdout)).toMatchObject({
    instruction_error: 'dockerfile parse error on line 2: unknown instruction: CPOY (did you mean COPY?)',
    error: {
      code: 'dockerfile/unknown-instruction',
      where: { range: { startLine: 2, startColumn: 0, endLine: 2, endColumn: 4 } },
    },
  });
  expect(stderr).toContain('error: unknown instruction: CPOY (did you mean COPY?)');
});

test('a file that is not there', async () => {
  const { stderr, exitCode } = await tbuild(['parse', '/no/such/Dockerfile']);
  expect(exitCode).toBe(3);
  expect(stderr).toContain('cannot read the Dockerfile /no/such/Dockerfile: ENOENT');
});
