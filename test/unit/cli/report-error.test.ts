import { expect, test } from 'vitest';
import { exitCodeOf, toErrorObject } from '../../../src/base/error-object.ts';
import { TbuildError } from '../../../src/base/errors.ts';
import { reportError } from '../../../src/cli/report-error.ts';
import { FakeOutput } from './fake-surroundings.ts';

function report(error: unknown, { columns = 80, isTTY = false, isDebug = false } = {}): string {
  const stderr = new FakeOutput({ columns, isTTY });
  reportError(error, { stderr, env: { NO_COLOR: '1' }, isDebug });
  return stderr.text;
}

const text = [
  'FROM debian',
  'RUN apt-get update \\',
  '  && apt-get install -y gcc',
  'COPY 日本 /a',
  '\tEXPOSE x',
  'CMD ["x"]',
  '',
].join('\n');
const where = (startLine: number, startColumn: number, endLine: number, endColumn: number) => ({
  where: { file: 'sub/Dockerfile', text, range: { startLine, startColumn, endLine, endColumn } },
});

test('message, excerpt, causes and hint', () => {
  const error = new TbuildError('dockerfile/bad-port', 'EXPOSE takes a port, not "x"', {
    ...where(5, 8, 5, 9),
    cause: new TbuildError('dockerfile/number', '"x" is not a number', { cause: new Error('invalid syntax') }),
    hint: 'as in EXPOSE 80/tcp',
  });
  expect(report(error)).toMatchInlineSnapshot(`
    "error: EXPOSE takes a port, not "x"
    sub/Dockerfile:5
    --------------------
       3 |       && apt-get install -y gcc
       4 |     COPY 日本 /a
       5 | >>>         EXPOSE x
         |                    ^
       6 |     CMD ["x"]
    --------------------
      because: "x" is not a number
        because: invalid syntax
    hint: as in EXPOSE 80/tcp
    "
  `);
});

test('a range of several lines is marked, without a caret', () => {
  expect(report(new TbuildError('run/exit', 'exited with code 1', where(2, 4, 3, 27)))).toMatchInlineSnapshot(`
    "error: exited with code 1
    sub/Dockerfile:2
    --------------------
       1 |     FROM debian
       2 | >>> RUN apt-get update \\
       3 | >>>   && apt-get install -y gcc
       4 |     COPY 日本 /a
    --------------------
    "
  `);
});

test('the caret stands below wide characters', () => {
  expect(report(new TbuildError('context/missing', 'there is no 日本 in the context', where(4, 5, 4, 7)))).toMatchInlineSnapshot(`
    "error: there is no 日本 in the context
    sub/Dockerfile:4
    --------------------
       2 |     RUN apt-get update \\
       3 |       && apt-get install -y gcc
       4 | >>> COPY 日本 /a
         |          ^^^^
       5 |             EXPOSE x
       6 |     CMD ["x"]
    --------------------
    "
  `);
});

test('at the end of the file, and beyond', () => {
  expect(report(new TbuildError('dockerfile/eof', 'unexpected end', where(7, 0, 7, 0)))).toMatchInlineSnapshot(`
    "error: unexpected end
    sub/Dockerfile:6
    --------------------
       4 |     COPY 日本 /a
       5 |             EXPOSE x
       6 | >>> CMD ["x"]
    --------------------
    "
  `);
  expect(report(new TbuildError('dockerfile/eof', 'unexpected end', where(99, 5, 120, 0)))).toContain('   6 | >>> CMD ["x"]');
  const empty = { file: 'Dockerfile', text: '', range: { startLine: 1, startColumn: 0, endLine: 1, endColumn: 0 } };
  expect(report(new TbuildError('dockerfile/empty', 'the Dockerfile is empty', { where: empty }))).toContain('Dockerfile:1');
});

test('a long instruction is cut, and so are lines wider than the terminal', () => {
  const long = `RUN <<EOF\n${'echo a very long line that goes on and on\n'.repeat(50)}EOF\n`;
  const error = new TbuildError('run/exit', 'exited with code 1', {
    where: { file: 'Dockerfile', text: long, range: { startLine: 1, startColumn: 0, endLine: 52, endColumn: 3 } },
  });
  const lines = report(error, { isTTY: true, columns: 30 }).split('\n');
  expect(lines.length).toBeLessThan(30);
  expect(lines).toContain('   3 | >>> echo a very long l…');
  expect(lines).toContain('     | >>> … to line 52');
});

test('what is no TbuildError is a bug', () => {
  const error = new TypeError("Cannot read properties of undefined (reading 'x')");
  expect(report(error)).toMatchInlineSnapshot(`
    "error: this is a bug in tbuild: Cannot read properties of undefined (reading 'x')
    hint: please report it, with what the same command prints with --debug
    "
  `);
  expect(exitCodeOf(error)).toBe(70);
  expect(report(error, { isDebug: true })).toMatch(/\n {4}at .*report-error\.test\.ts/);
  expect(report('thrown text')).toContain('error: this is a bug in tbuild: thrown text');
  expect(report(undefined)).toContain('error: this is a bug in tbuild: undefined');
});

test('an assertion asks for a report', () => {
  const error = new TbuildError('internal/assertion', 'this is a bug in tbuild: no layer 3');
  expect(report(error)).toMatchInlineSnapshot(`
    "error: this is a bug in tbuild: no layer 3
    hint: please report it, with what the same command prints with --debug
    "
  `);
  expect(exitCodeOf(error)).toBe(70);
});

test('exit codes', () => {
  const codes = [
    'run/exit',
    'usage/x',
    'dockerfile/x',
    'context/x',
    'registry/x',
    'auth/x',
    'image/x',
    'store/x',
    'native/x',
    'unsupported/x',
    'cancelled/x',
  ] as const;
  expect(codes.map((code) => exitCodeOf(new TbuildError(code, 'x')))).toEqual([1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 130]);
  expect(exitCodeOf(new DOMException('This operation was aborted', 'AbortError'))).toBe(130);
});

test('an abort is no error to explain', () => {
  expect(report(new DOMException('This operation was aborted', 'AbortError'))).toBe('canceled\n');
});

test('user info of URLs stays out, in messages and in causes', () => {
  const error = new TbuildError('registry/unreachable', 'cannot reach https://me:hunter2@registry.example/v2/', {
    cause: new Error('GET https://token@registry.example/v2/: connection refused (see mailto:me@example.com)'),
    hint: 'is https://a:b@c/ right?',
  });
  expect(report(error)).toMatchInlineSnapshot(`
    "error: cannot reach https://registry.example/v2/
      because: GET https://registry.example/v2/: connection refused (see mailto:me@example.com)
    hint: is https://c/ right?
    "
  `);
  expect(JSON.stringify(toErrorObject(error))).not.toMatch(/hunter2|token|a:b/);
});

test('control characters of a message do not reach the terminal', () => {
  expect(report(new TbuildError('dockerfile/unknown-instruction', 'unknown instruction "\x1b[2J\x07FRM"'))).toBe(
    'error: unknown instruction "FRM"\n',
  );
});

test('a failure while cleaning up never hides the first', () => {
  const first = new TbuildError('run/exit', 'exited with code 1', { cause: new Error('killed') });
  const error = new SuppressedError(new Error('EBUSY: /mnt'), first);
  expect(exitCodeOf(error)).toBe(1);
  expect(report(error)).toMatchInlineSnapshot(`
    "error: exited with code 1
      because: killed
        because: cleaning up failed as well: EBUSY: /mnt
    "
  `);
});

test('causes that form a ring, repeat, or branch', () => {
  const ring = new Error('ring');
  ring.cause = ring;
  expect(report(new TbuildError('store/x', 'x', { cause: ring })).split('\n').length).toBeLessThan(20);
  const repeated = new TbuildError('store/x', 'cannot open the store: ENOENT', { cause: new Error('ENOENT') });
  expect(report(repeated)).toBe('error: cannot open the store: ENOENT\n');
  const both = new TbuildError('registry/x', 'no mirror answers', {
    cause: new AggregateError([new Error('a refused'), new Error('b refused')], 'all failed'),
  });
  expect(report(both)).toMatchInlineSnapshot(`
    "error: no mirror answers
      because: all failed
        because: a refused
          because: b refused
    "
  `);
});

test('as data', () => {
  const error = new TbuildError('dockerfile/x', 'no', { ...where(1, 0, 1, 4), hint: 'yes', cause: new Error('why') });
  expect(toErrorObject(error)).toEqual({
    code: 'dockerfile/x',
    message: 'no',
    hint: 'yes',
    where: { file: 'sub/Dockerfile', range: { startLine: 1, startColumn: 0, endLine: 1, endColumn: 4 } },
    causes: ['why'],
  });
});
