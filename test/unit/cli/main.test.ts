// The entry as a process: what only a process can show.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { version } from '../../../src/base/version.ts';

const main = join(import.meta.dirname, '../../../src/cli/main.ts');
const demo = join(import.meta.dirname, 'progress/demo.ts');

interface Ended {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs Node; `watch` sees all that has come on standard error, whenever something comes. */
function runNode(
  args: readonly string[],
  watch: (stderr: string, kill: (signal: NodeJS.Signals) => void) => void = () => {},
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
      watch(stderr, (signal) => child.kill(signal));
    });
    child.on('close', (exitCode) => resolve({ exitCode, stdout, stderr }));
  });
}

test('says its version', async () => {
  expect(await runNode([main, '--version'])).toEqual({ exitCode: 0, stdout: `tbuild ${version}\n`, stderr: '' });
});

test('a usage error exits with 2', async () => {
  expect(await runNode([main, 'build', '--frob'])).toMatchObject({ exitCode: 2, stdout: '' });
});

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 130],
] as const)('%s cancels a build', async (signal, exitCode) => {
  let isSent = false;
  const ended = await runNode([demo, 'ok'], (stderr, kill) => {
    if (isSent || !stderr.includes('#1 ')) return;
    isSent = true;
    kill(signal);
  });
  expect(ended.exitCode).toBe(exitCode);
  expect(ended.stderr).toMatch(/canceling; press \^C again[\s\S]*#\d CANCELED[\s\S]*\ncanceled\nlog: /);
});

test('a second ^C ends a build that does not', async () => {
  const ended = await runNode([demo, 'stubborn'], (stderr, kill) => {
    if (stderr.includes('#1 ')) kill('SIGINT');
  });
  expect(ended.exitCode).toBe(130);
});

test('a reader that has gone ends it quietly', async () => {
  const script = `(sleep 0.3; "$0" "$1" build --help; echo "exit code $?" >&2) | true`;
  const child = spawn('sh', ['-c', script, process.execPath, main], { stdio: ['ignore', 'ignore', 'pipe'] });
  expect((await child.stderr.toArray()).join('')).toBe('exit code 141\n');
});
