import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { TbuildError } from '../../../../src/base/errors.ts';
import type { BuildEvent } from '../../../../src/build/events.ts';
import type { Progress } from '../../../../src/cli/progress/progress.ts';
import { ttyProgress } from '../../../../src/cli/progress/tty.ts';
import { FakeTerminal } from './fake-terminal.ts';
import { at, image, startMs } from './script.ts';

beforeEach(() => {
  vi.useFakeTimers({ now: startMs });
});
afterEach(() => {
  vi.useRealTimers();
});

function display(
  columns: number,
  rows: number,
): { terminal: FakeTerminal; progress: Progress; play: (...events: BuildEvent[]) => void } {
  const terminal = new FakeTerminal(columns, rows);
  const progress = ttyProgress({ stdout: terminal, stderr: terminal, env: {}, isDebug: false });
  /** Each event at its time, and the display's clock up to it. */
  const play = (...events: BuildEvent[]) => {
    for (const event of events) {
      vi.advanceTimersByTime(Math.max(0, event.time - Date.now()));
      progress.show(event);
    }
    vi.advanceTimersByTime(100);
  };
  return { terminal, progress, play };
}

const names = [
  '[internal] load build context',
  '[1/3] FROM docker.io/library/debian:12',
  '[2/3] RUN apt-get update',
  '[3/3] COPY . /srv',
];

test('steps that run, are cached, and wait', () => {
  const { terminal, progress, play } = display(60, 16);
  play(
    at.plan(0, ...names),
    at.start(10, 1),
    at.status(20, 1, 'transferring 1.2MB'),
    at.start(30, 2),
    at.cached(40, 2),
    at.start(50, 3),
    ...Array.from({ length: 9 }, (_, n) => at.output(100 + n, 3, `Get:${n} http://example.org\n`)),
    at.output(1000, 3, '\rfetching 10%'),
    at.output(1500, 3, '\r\x1b[32mfetching 60%\x1b[0m'),
  );
  expect(terminal.isCursorShown).toBe(false);
  expect(terminal.screen).toMatchInlineSnapshot(`
    "[+] Building 1.6s (1/4)
     => [internal] load build context                      1.6s
     => => transferring 1.2MB
     => CACHED [1/3] FROM docker.io/library/debian:12      0.0s
     => [2/3] RUN apt-get update                           1.6s
     => => # Get:5 http://example.org
     => => # Get:6 http://example.org
     => => # Get:7 http://example.org
     => => # Get:8 http://example.org
     => => # fetching 60%"
  `);

  play(
    at.done(2000, 1),
    at.output(2600, 3, '\nReading package lists\n'),
    at.done(3300, 3),
    at.start(3300, 4),
    at.done(3400, 4),
    at.result(3500, ['app:latest', 'registry.example/app:1']),
  );
  progress.succeed(image);
  expect(terminal.screen).toMatchInlineSnapshot(`
    "[+] Building 3.5s (4/4) FINISHED
     => [internal] load build context                      2.0s
     => CACHED [1/3] FROM docker.io/library/debian:12      0.0s
     => [2/3] RUN apt-get update                           3.3s
     => [3/3] COPY . /srv                                  0.1s

    named    app:latest
    named    registry.example/app:1
    image    sha256:0f3a7c1be1b2c8a6c2d3f0a1b4c5d6e7f8091a2b3c4d
    5e6f708192a3b4c5d6e7
    log      /store/builds/1/log"
  `);
  expect(terminal.isCursorShown).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test('a failure ends with the last lines, the excerpt and the log', () => {
  const { terminal, progress, play } = display(70, 40);
  const text = 'FROM debian:12\nRUN apt-get update\nCOPY . /srv\n';
  const error = new TbuildError('run/exit', '"apt-get update" exited with code 100', {
    where: { file: 'Dockerfile', text, range: { startLine: 2, startColumn: 4, endLine: 2, endColumn: 18 } },
  });
  const data = { code: error.code, message: error.message };
  play(
    at.plan(0, ...names),
    at.start(0, 3),
    at.start(0, 1),
    ...Array.from({ length: 30 }, (_, n) => at.output(100 + n, 3, `line ${n}\n`)),
    at.output(900, 3, 'E: no network', 'stderr'),
    at.failed(1000, 3, data),
    at.canceled(1000, 1),
    at.error(1010, data),
  );
  expect(progress.fail(error)).toBe(1);
  expect(terminal.screen).toMatchInlineSnapshot(`
    "[+] Building 1.0s (2/4)
     => CANCELED [internal] load build context                       1.0s
     => ERROR [2/3] RUN apt-get update                               1.0s
    ------
     > [2/3] RUN apt-get update:
    0.111 line 11
    0.112 line 12
    0.113 line 13
    0.114 line 14
    0.115 line 15
    0.116 line 16
    0.117 line 17
    0.118 line 18
    0.119 line 19
    0.120 line 20
    0.121 line 21
    0.122 line 22
    0.123 line 23
    0.124 line 24
    0.125 line 25
    0.126 line 26
    0.127 line 27
    0.128 line 28
    0.129 line 29
    1.000 E: no network
    ------
    error: "apt-get update" exited with code 100
    Dockerfile:2
    --------------------
       1 |     FROM debian:12
       2 | >>> RUN apt-get update
         |         ^^^^^^^^^^^^^^
       3 |     COPY . /srv
    --------------------
    log: /store/builds/1/log"
  `);
});

test('more steps than rows: the block stays as high as the screen, and what runs stays visible', () => {
  const { terminal, progress, play } = display(40, 10);
  const many = Array.from({ length: 40 }, (_, n) => `[${n + 1}/40] RUN make ${n + 1}`);
  play(at.plan(0, ...many), at.start(0, 1), at.output(1, 1, 'the long one\n'));
  for (let step = 2; step <= 30; step++) play(at.start(step * 100, step), at.done(step * 100 + 50, step));
  play(at.start(3200, 31), at.output(3210, 31, 'a\nb\nc\n'));
  expect(terminal.screen).toMatchInlineSnapshot(`
    "[+] Building 3.3s (29/40)
     => [1/40] RUN make 1              3.3s
     => => # the long one
     => [29/40] RUN make 29            0.1s
     => [30/40] RUN make 30            0.1s
     => [31/40] RUN make 31            0.1s
     => => # b
     => => # c"
  `);
  expect(terminal.scrolls).toBe(0);

  play(at.done(3500, 1), at.done(3600, 31), at.result(3700, []));
  progress.succeed(image);
  const shown = terminal.everything.split('\n');
  expect(shown.filter((line) => line.includes('RUN make'))).toHaveLength(31);
  expect(shown[0]).toBe('[+] Building 3.7s (31/40) FINISHED');
});

test('narrow, with wide characters, and resized: no line is wrapped', () => {
  const { terminal, progress, play } = display(40, 12);
  play(
    at.plan(0, '[1/2] RUN echo 日本語のパッケージをインストールする', '[2/2] RUN echo 👩‍👩‍👧 family of emoji in a row'),
    at.start(0, 1),
    at.output(10, 1, '한국어 한국어 한국어 한국어 한국어 한국어\n'),
    at.output(20, 1, 'a\ttab \x1b]0;title\x07and \x1b[2Jclear\u202e\n'),
    at.done(500, 1),
    at.start(500, 2),
  );
  expect(terminal.screen).toMatchInlineSnapshot(`
    "[+] Building 0.6s (1/2)
     => [1/2] RUN echo 日本語のパッケ… 0.5s
     => [2/2] RUN echo 👩👩👧 family … 0.1s"
  `);
  terminal.columns = 24;
  play(at.output(900, 2, 'after the resize\n'));
  terminal.columns = 8;
  terminal.rows = 4;
  play(at.output(1000, 2, 'tiny\n'));
  terminal.columns = 40;
  terminal.rows = 12;
  play(at.done(1100, 2), at.result(1200, []));
  progress.succeed(image);
  expect(terminal.screen).toContain('(2/2) FINISHED');
});

test('an interruption is said at once', () => {
  const { terminal, progress, play } = display(60, 10);
  play(at.plan(0, 'a'), at.start(0, 1));
  progress.interrupt();
  expect(terminal.screen).toMatchInlineSnapshot(`
    "[+] Building 0.1s (0/1) canceling; ^C again ends it at once
     => a                                                  0.1s"
  `);
  play(at.canceled(300, 1));
  const aborted = Object.assign(new Error('This operation was aborted'), { name: 'AbortError' });
  expect(progress.fail(aborted)).toBe(130);
  expect(terminal.screen).toMatchInlineSnapshot(`
    "[+] Building 0.4s (1/1)
     => CANCELED a                                         0.3s
    canceled"
  `);
  expect(terminal.isCursorShown).toBe(true);
});

test('a build that never began leaves nothing but the error', () => {
  const { terminal, progress } = display(60, 10);
  expect(progress.fail(new TbuildError('context/missing', 'there is no directory ./x'))).toBe(4);
  expect(terminal.screen).toBe('error: there is no directory ./x');
});

test('warnings and exports come last', () => {
  const { terminal, progress, play } = display(80, 20);
  play(
    at.plan(0, 'a'),
    at.start(0, 1),
    at.warning(5, 'StageNameCasing', 'stage name "Build" should be lowercase', 3),
    at.cached(10, 1),
    at.result(20, ['app:latest'], ['app.tar']),
  );
  progress.succeed(image);
  expect(terminal.screen).toMatchInlineSnapshot(`
    "[+] Building 0.0s (1/1) FINISHED
     => CACHED a                                                               0.0s

     1 warning found (use tbuild --debug to expand):
     - StageNameCasing: stage name "Build" should be lowercase (line 3)

    named    app:latest
    image    sha256:0f3a7c1be1b2c8a6c2d3f0a1b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7
    exported app.tar
    log      /store/builds/1/log"
  `);
});

test('why a step is executed, while it runs and at the end; of first builds nothing', () => {
  const { terminal, progress, play } = display(60, 16);
  play(
    at.plan(0, '[1/2] RUN one', '[2/2] RUN two'),
    at.start(0, 1),
    at.miss(10, 1, 'src/a: content, src/b appeared, src/c disappeared and 12 more'),
    at.start(20, 2),
    at.miss(30, 2, 'never built here', 'new'),
  );
  expect(terminal.screen).toMatchInlineSnapshot(`
    "[+] Building 0.1s (0/2)
     => [1/2] RUN one                                      0.1s
     => => not cached: src/a: content, src/b appeared, src/c di…
     => [2/2] RUN two                                      0.1s"
  `);
  play(at.done(1000, 1), at.done(1000, 2), at.result(1000, []));
  progress.succeed(image);
  expect(terminal.screen).toContain(' => => not cached: src/a: content');
  expect(terminal.screen).not.toContain('never built here');
});
