// kill -9 at random moments: the next build succeeds, fsck finds nothing, and no mount, process, loop device or cgroup is left.
// Prints where each kill landed.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import type { BuildEvent } from '../../src/build/events.ts';
import { makeContext, writeFiles } from '../support/contexts.ts';
import { build } from '../support/events.ts';
import { freshStore } from '../support/stores.ts';
import { repository, tbuild } from '../support/tbuild.ts';

const KILLS = 12;

let store: string;
let context: string;
beforeAll(() => {
  store = freshStore();
  const files = Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`tree/d${i % 50}/f${i}`, `${i}\n`.repeat(400)]));
  context = makeContext({
    ...files,
    Dockerfile: [
      'FROM busybox',
      'COPY nonce /',
      'RUN echo running; i=0; while [ $i -lt 30 ]; do dd if=/dev/urandom of=/r$i bs=100k count=1 2>/dev/null; i=$((i+1)); sleep 0.01; done; rm /r*; dd if=/dev/urandom of=/big bs=1M count=96 2>/dev/null; echo written',
      'COPY . /all',
    ].join('\n'),
  });
  writeFiles(context, { nonce: '' });
});

/** What a build is at: the phase begins with an event, and its kill comes at a random moment of its usual length. */
const phases = {
  RUN: { begins: (event: BuildEvent) => event.type === 'output' && event.text.includes('running'), usuallyMs: 500 },
  commit: { begins: (event: BuildEvent) => event.type === 'output' && event.text.includes('written'), usuallyMs: 250 },
  COPY: {
    begins: (event: BuildEvent, names: readonly string[]) =>
      event.type === 'start' && (names[event.step - 1] ?? '').includes('COPY . /all'),
    usuallyMs: 120,
  },
} as const;

describe.each(Object.entries(phases))('kill -9 during %s', (name, phase) => {
  it('loses nothing and leaves nothing', async () => {
    const landed: string[] = [];
    const loopsBefore = loopDevices();
    const cgroupsBefore = cgroups();
    let inPhase = 0;
    for (let attempt = 0; inPhase < KILLS && attempt < KILLS * 3; attempt++) {
      writeFileSync(path.join(context, 'nonce'), `${name} ${attempt} ${Math.random()}`);
      const where = await killDuring(phase);
      landed.push(where);
      if (where !== 'after the build') inPhase++;
      await untilGone();
    }
    console.log(`kills during ${name}: ${landed.join('; ')}`);
    expect(inPhase).toBeGreaterThanOrEqual(10);
    const next = await build([context], { store });
    expect(next.code, next.stderr).toBe(0);
    const check = await tbuild(['fsck'], { store });
    expect(check.code, check.stdout + check.stderr).toBe(0);
    expect(readdirSync(path.join(store, 'tmp')).filter((name) => name !== '.gate')).toEqual([]);
    expect(loopDevices()).toEqual(loopsBefore);
    expect(cgroups()).toEqual(cgroupsBefore);
  });
});

/** Where the kill landed, in words: the last thing the build said, and how long before. */
async function killDuring(phase: (typeof phases)[keyof typeof phases]): Promise<string> {
  const child = spawn(path.join(repository, 'bin/tbuild'), ['build', '--progress=rawjson', context], {
    env: { ...process.env, TBUILD_ROOT: store },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  const began = await Promise.race([untilPhase(child, phase), exited.then(() => undefined)]);
  if (began === undefined) return 'after the build';
  const delayMs = Math.random() * phase.usuallyMs;
  await sleep(delayMs);
  const ended = child.exitCode !== null;
  child.kill('SIGKILL');
  await exited;
  return ended || began.last.type === 'result' ? 'after the build' : `${delayMs.toFixed(0)} ms in, after "${began.last.type}"`;
}

function untilPhase(child: ChildProcess, phase: (typeof phases)[keyof typeof phases]): Promise<{ last: BuildEvent }> {
  const state = { last: undefined as unknown as BuildEvent };
  let names: string[] = [];
  return new Promise((resolve) => {
    createInterface({ input: child.stderr as NonNullable<ChildProcess['stderr']> }).on('line', (line) => {
      if (!line.startsWith('{')) return;
      const event = JSON.parse(line) as BuildEvent;
      state.last = event;
      if (event.type === 'plan') names = event.steps.map((step) => step.name);
      if (phase.begins(event, names)) resolve(state);
    });
  });
}

/** No process of the store is left, nor one that has its mounts: within two seconds of the kill. */
async function untilGone(): Promise<void> {
  for (let waited = 0; ; waited += 20) {
    const left = processes();
    if (left.length === 0) return;
    if (waited > 2000) throw new Error(`still there after ${waited} ms: ${left.join(', ')}`);
    await sleep(20);
  }
}

function processes(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter(
      (pid) =>
        read(`/proc/${pid}/environ`).includes(`TBUILD_ROOT=${store}\0`) ||
        read(`/proc/${pid}/mountinfo`).includes(`${store}/mnt`),
    )
    .map((pid) => `${pid} ${read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')}`);
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // Gone meanwhile.
  }
}

function loopDevices(): string[] {
  return execFileSync('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'], { encoding: 'utf8' })
    .split('\n')
    .filter((file) => file.includes(store));
}

function cgroups(): string[] {
  return execFileSync('find', ['/sys/fs/cgroup', '-maxdepth', '4', '-name', '*tbuild*'], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line !== '');
}
