// What a container is said to be doing: by its monitor, and by the lock that a living monitor holds.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readState } from '../../../src/containers/state.ts';

let directory: string;
let holder: ChildProcess | undefined;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'tbuild-state-'));
});
afterEach(async () => {
  if (holder && holder.exitCode === null && holder.signalCode === null) {
    holder.kill('SIGKILL');
    await once(holder, 'exit');
  }
  holder = undefined;
  rmSync(directory, { recursive: true });
});

const say = (state: object) => writeFileSync(path.join(directory, 'state.json'), JSON.stringify(state));
const running = { status: 'running', pid: 7, monitorPid: 6, startedAt: 1000, finishedAt: 0, exitCode: 0 };

/** As a monitor does. */
async function hold(): Promise<void> {
  holder = spawn('flock', ['--no-fork', path.join(directory, 'lock'), 'sh', '-c', 'echo held; exec sleep 60']);
  await once(holder.stdout!, 'data');
}

it('one that was never started is created', () => {
  expect(readState(directory)).toMatchObject({ status: 'created', isAbandoned: false, startedAt: 0 });
});

it('one whose monitor lives is what that says', async () => {
  say(running);
  await hold();
  expect(readState(directory)).toMatchObject({ status: 'running', isAbandoned: false, pid: 7 });
  say({ ...running, status: 'starting', startedAt: 0 });
  expect(readState(directory).status).toBe('created');
});

it('one whose monitor was killed has exited with 137', async () => {
  say(running);
  await hold();
  holder!.kill('SIGKILL');
  await once(holder!, 'exit');
  expect(readState(directory)).toMatchObject({ status: 'exited', isAbandoned: true, exitCode: 137, pid: 0 });
  expect(Date.now() - readState(directory).finishedAt).toBeLessThan(60_000);
});

it('one that ended says how, whoever holds the lock', () => {
  say({ ...running, status: 'exited', exitCode: 3, finishedAt: 2000 });
  expect(readState(directory)).toMatchObject({ status: 'exited', isAbandoned: false, exitCode: 3, finishedAt: 2000 });
});

it('one that could not be started stays created', () => {
  say({ ...running, status: 'exited', startedAt: 0, exitCode: 127, error: 'no such file' });
  expect(readState(directory)).toMatchObject({ status: 'created', exitCode: 127, error: 'no such file' });
});
