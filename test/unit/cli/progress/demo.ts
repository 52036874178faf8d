// A scripted build to look at: `node test/unit/cli/progress/demo.ts [ok|fail|many|warn|stubborn] [tbuild build flags]`.
// The command line is the real one; the library below is a script.

import { setTimeout as sleep } from 'node:timers/promises';
import { TbuildError } from '../../../../src/base/errors.ts';
import type { BuildOptions, BuildResult } from '../../../../src/build/build.ts';
import type { BuildEvent } from '../../../../src/build/events.ts';
import { dispatch } from '../../../../src/cli/dispatch.ts';
import type { Library } from '../../../../src/cli/library/library.ts';

const dockerfile = `# syntax=docker/dockerfile:1
FROM node:24 AS build
WORKDIR /app
COPY package*.json ./
RUN npm ci --no-audit
COPY . .
RUN npm run build && npm test

FROM node:24-slim
COPY --from=build /app/dist /srv
CMD ["node", "/srv/main.js"]
`;

const image = 'sha256:0f3a7c1be1b2c8a6c2d3f0a1b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7';
const log = '/var/lib/tbuild/builds/01kb/log';

async function demoBuild(kind: string, { onEvent, signal }: BuildOptions): Promise<BuildResult> {
  const say = (event: { type: BuildEvent['type']; [field: string]: unknown }) =>
    onEvent({ time: Date.now(), ...event } as BuildEvent);
  const names = [
    '[internal] load build context',
    '[build 1/6] FROM docker.io/library/node:24',
    '[stage-1 1/2] FROM docker.io/library/node:24-slim',
    '[build 2/6] WORKDIR /app',
    '[build 3/6] COPY package*.json ./',
    '[build 4/6] RUN npm ci --no-audit',
    '[build 5/6] COPY . .',
    '[build 6/6] RUN npm run build && npm test',
    ...(kind === 'many' ? Array.from({ length: 60 }, (_, i) => `[many ${i + 1}/60] RUN make part-${i + 1}`) : []),
    '[stage-1 2/2] COPY --from=build /app/dist /srv',
  ];
  say({ type: 'plan', steps: names.map((name, index) => ({ step: index + 1, name, stage: 'build' })) });
  const running = new Set<number>();
  const step = async (number: number, durationMs: number, lines: string[] = [], isCached = false) => {
    say({ type: 'start', step: number });
    running.add(number);
    for (const line of lines) {
      await sleep(durationMs / lines.length, undefined, { signal });
      say({ type: 'output', step: number, stream: 'stdout', text: line });
    }
    if (lines.length === 0) await sleep(durationMs, undefined, { signal });
    say({ type: 'done', step: number, cached: isCached, layer: undefined });
    running.delete(number);
  };
  const status = async () => {
    say({ type: 'start', step: 1 });
    for (let megabytes = 1; megabytes < 13; megabytes++) {
      say({ type: 'status', step: 1, text: `transferring ${megabytes}.3MB` });
      await sleep(60, undefined, { signal });
    }
    say({ type: 'done', step: 1, cached: false, layer: undefined });
  };
  if (kind === 'stubborn') {
    for (let n = 0; n < 100; n++) {
      say({ type: 'status', step: 1, text: `busy since ${n}00 ms` });
      await sleep(100);
    }
  }
  try {
    await Promise.all([status(), step(2, 100, [], true), step(3, 1400)]);
    await step(4, 30, [], true);
    await step(5, 30, [], true);
    const bar = Array.from(
      { length: 10 },
      (_, i) => `\r\x1b[36mfetching\x1b[0m [${'#'.repeat(i + 1).padEnd(10, '.')}] 日本語のパッケージ`,
    );
    await step(6, 2500, ['npm warn deprecated glob@7.2.3\n', ...bar, '\n', 'added 214 packages in 2s\n']);
    await step(7, 100);
    if (kind === 'many') {
      for (let first = 9; first < 69; first += 3) {
        await Promise.all(
          [0, 1, 2].map((i) =>
            step(
              first + i,
              300,
              Array.from({ length: 8 }, (_, n) => `cc -c ${n}.c\n`),
            ),
          ),
        );
      }
    }
    if (kind === 'fail') {
      say({ type: 'start', step: 8 });
      for (let n = 1; n <= 30; n++) {
        await sleep(50, undefined, { signal });
        say({
          type: 'output',
          step: 8,
          stream: 'stderr',
          text: n < 30 ? `ok ${n} - case ${n}\n` : 'not ok 30 - expected 2, got 3\n',
        });
      }
      const line = dockerfile.split('\n')[6]!;
      throw new TbuildError('run/exit', '"npm run build && npm test" exited with code 1', {
        where: {
          file: 'Dockerfile',
          text: dockerfile,
          range: { startLine: 7, startColumn: 4, endLine: 7, endColumn: line.length },
        },
        hint: 'the files that the step left are kept: tbuild debug shows them',
      });
    }
    await step(8, 1500, ['> tsc && vite build\n', '\x1b[32m✓\x1b[0m 214 modules transformed\n', 'dist/main.js  142.07 kB\n']);
    await step(names.length, 60);
    if (kind === 'warn') {
      say({
        type: 'warning',
        warning: {
          rule: 'JSONArgsRecommended',
          description: '',
          message: 'JSON arguments recommended for CMD to prevent unintended behavior related to OS signals',
          url: undefined,
          where: { file: 'Dockerfile', text: dockerfile, range: { startLine: 11, startColumn: 0, endLine: 11, endColumn: 3 } },
        },
      });
    }
    say({ type: 'result', image, names: ['app:latest'], exported: [], log });
    return { image, names: ['app:latest'], metadata: {} };
  } catch (error) {
    const failure = error as TbuildError;
    if (signal.aborted) for (const number of running) say({ type: 'canceled', step: number });
    else say({ type: 'failed', step: 8, error: { code: failure.code, message: failure.message } });
    say({ type: 'error', error: { code: failure.code, message: failure.message }, log });
    throw error;
  }
}

const [kind = 'ok', ...args] = process.argv.slice(2);
const library = { buildImage: (options: BuildOptions) => demoBuild(kind, options) } as Partial<Library> as Library;
const { stdin, stdout, stderr, env } = process;
process.exitCode = await dispatch(['build', ...args, '.'], { stdin: () => stdin, stdout, stderr, env, library });
