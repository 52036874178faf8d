import { expect, test } from 'vitest';
import { TbuildError } from '../../../../src/base/errors.ts';
import type { BuildEvent } from '../../../../src/build/events.ts';
import { plainProgress } from '../../../../src/cli/progress/plain.ts';
import { FakeOutput } from '../fake-surroundings.ts';
import { at, image } from './script.ts';

function play(events: readonly BuildEvent[], env: Record<string, string> = {}) {
  const stderr = new FakeOutput();
  const progress = plainProgress({ stdout: new FakeOutput(), stderr, env, isDebug: false });
  for (const event of events) progress.show(event);
  return { progress, stderr };
}

test('a build', () => {
  const { progress, stderr } = play([
    at.plan(0, '[internal] load build context', '[1/3] FROM debian', '[2/3] RUN <<EOF\nset -e\nmake\nEOF', '[3/3] COPY . /srv'),
    at.start(10, 1),
    at.status(20, 1, 'transferring 1.2MB'),
    at.status(120, 1, 'transferring 2.4MB'),
    at.status(220, 1, 'transferring 3.6MB'),
    at.start(200, 2),
    at.cached(210, 2),
    at.done(300, 1),
    at.start(300, 3),
    at.output(400, 3, 'one\ntw'),
    at.output(410, 3, 'error\n', 'stderr'),
    at.output(500, 3, 'o\r\n10%\r50%'),
    at.output(600, 3, '\r100%\n\x1b[32mgreen\x1b[0m\x1b[2J\n\nlast'),
    at.done(1500, 3),
    at.done(1600, 4),
    at.warning(1600, 'StageNameCasing', 'stage name "Build" should be lowercase', 3),
    at.result(1700, ['app:latest']),
  ]);
  progress.succeed(image);
  expect(stderr.text).toMatchInlineSnapshot(`
    "#1 [internal] load build context
    #1 transferring 1.2MB
    #2 [1/3] FROM debian
    #2 CACHED

    #1 transferring 3.6MB
    #1 DONE 0.3s

    #3 [2/3] RUN <<EOF set -e make EOF
    #3 0.100 one
    #3 0.110 error
    #3 0.200 two
    #3 0.300 100%
    #3 0.300 [32mgreen[0m[0m
    #3 0.300
    #3 1.200 last
    #3 DONE 1.2s

    #4 [3/3] COPY . /srv
    #4 DONE 0.0s

     1 warning found (use tbuild --debug to expand):
     - StageNameCasing: stage name "Build" should be lowercase (line 3)

    named    app:latest
    image    sha256:0f3a7c1be1b2c8a6c2d3f0a1b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7
    log      /store/builds/1/log
    "
  `);
});

test('with NO_COLOR nothing has colours', () => {
  const { stderr } = play([at.plan(0, 'a'), at.output(0, 1, '\x1b[32mgreen\x1b[0m\n')], { NO_COLOR: '1' });
  expect(stderr.text).toBe('#1 a\n#1 0.000 green\n');
});

test('a failure, while another step runs', () => {
  const error = new TbuildError('run/exit', '"make" exited with code 2', { hint: 'read the log' });
  const data = { code: error.code, message: error.message };
  const { progress, stderr } = play([
    at.plan(0, '[a 1/1] RUN make', '[b 1/1] RUN sleep 9'),
    at.start(0, 1),
    at.start(0, 2),
    at.output(100, 1, 'cc: no such file', 'stderr'),
    at.failed(200, 1, data),
    at.canceled(210, 2),
    at.error(220, data),
  ]);
  expect(progress.fail(error)).toBe(1);
  expect(stderr.text).toMatchInlineSnapshot(`
    "#1 [a 1/1] RUN make
    #2 [b 1/1] RUN sleep 9
    #1 0.200 cc: no such file
    #1 ERROR: "make" exited with code 2

    #2 CANCELED

    ------
     > [a 1/1] RUN make:
    0.200 cc: no such file
    ------
    error: "make" exited with code 2
    hint: read the log
    log: /store/builds/1/log
    "
  `);
});

test('a line that never ends is given out in parts, and kept short', () => {
  const { stderr } = play([
    at.plan(0, 'a'),
    ...Array.from({ length: 100 }, () => at.output(0, 1, 'x'.repeat(10_000))),
    at.done(1, 1),
  ]);
  const lines = stderr.text.split('\n').filter((line) => line.includes('xxx'));
  expect(lines.length).toBe(Math.ceil(1_000_000 / 16_384));
  expect(lines.reduce((sum, line) => sum + line.length - '#1 0.000 '.length, 0)).toBe(1_000_000);
});

test('events of a step that no plan announced are shown all the same', () => {
  expect(play([at.start(0, 2), at.done(100, 2)]).stderr.text).toBe('#2 step 2\n#2 DONE 0.1s\n\n');
});

test('why a step is executed', () => {
  const { stderr } = play([
    at.plan(0, '[1/2] RUN one', '[2/2] RUN two'),
    at.start(0, 1),
    at.miss(5, 1, 'src/a\x1b[2J: content'),
    at.done(10, 1),
    at.start(10, 2),
    at.miss(15, 2, 'never built here', 'new'),
    at.done(20, 2),
  ]);
  expect(stderr.text).toMatchInlineSnapshot(`
    "#1 [1/2] RUN one
    #1 not cached: src/a: content
    #1 DONE 0.0s

    #2 [2/2] RUN two
    #2 not cached: never built here
    #2 DONE 0.0s

    "
  `);
});
