// kill -9 at random moments: the next build succeeds, fsck finds nothing, and no mount, process, loop device or cgroup is left.
// Prints where each kill landed.

import { execFileSync, spawn } from 'node:child_process';
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
      // It looks at the nonce, or it would be reused.
      'RUN cat /nonce; echo running; i=0; while [ $i -lt 30 ]; do dd if=/dev/urandom of=/r$i bs=100k count=1 2>/dev/null; i=$((i+1)); sleep 0.01; done; rm /r*; dd if=/dev/urandom of=/big bs=1M count=96 2>/dev/null; echo written',
      'COPY . /all',
    ].join('\n'),
  });
  writeFiles(context, { nonce: '' });
});

interface Phase {
  /** Names of steps are as the plan gives them. */
  readonly begins: (event: BuildEvent, names: readonly string[]) => boolean;
  readonly ends: (event: BuildEvent, names: readonly string[]) => boolean;
  readonly usuallyMs: number;
}

const isStep = (event: BuildEvent, names: readonly string[], type: 'start' | 'done', name: string) =>
  event.type === type && (names[event.step - 1] ?? '').includes(name);
const says = (event: BuildEvent, text: string) => event.type === 'output' && event.text.includes(text);

/** What a build is at, from one event to another; the kill comes at a random moment of its usual length. */
const phases: Readonly<Record<string, Phase>> = {
  RUN: { begins: (event) => says(event, 'running'), ends: (event) => says(event, 'written'), usuallyMs: 500 },
  commit: {
    begins: (event) => says(event, 'written'),
    ends: (event, names) => isStep(event, names, 'done', 'RUN '),
    usuallyMs: 120,
  },
  COPY: {
    begins: (event, names) => isStep(event, names, 'start', 'COPY . /all'),
    ends: (event, names) => isStep(event, names, 'done', 'COPY . /all'),
    usuallyMs: 60,
  },
};

describe.each(Object.entries(phases))('kill -9 during %s', (name, phase) => {
  it('loses nothing and leaves nothing', async () => {
    const landed: string[] = [];
    const loopsBefore = loopDevices();
    const cgroupsBefore = cgroups();
    let inPhase = 0;
    for (let attempt = 0; inPhase < KILLS && attempt < KILLS * 4; attempt++) {
      writeFileSync(path.join(context, 'nonce'), `${name} ${attempt} ${Math.random()}`);
      const where = await killDuring(phase);
      landed.push(where ?? 'after it');
      if (where !== undefined) inPhase++;
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

/** Where the kill landed; undefined: when the phase was over. */
async function killDuring(phase: Phase): Promise<string | undefined> {
  const child = spawn(path.join(repository, 'bin/tbuild'), ['build', '--progress=rawjson', context], {
    env: { ...process.env, TBUILD_ROOT: store },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const events: BuildEvent[] = [];
  const names = () => events.find((event) => event.type === 'plan')?.steps.map((step) => step.name) ?? [];
  const began = new Promise<void>((resolve) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (!line.startsWith('{')) return;
      events.push(JSON.parse(line));
      if (phase.begins(events.at(-1) as BuildEvent, names())) resolve();
    });
  });
  await Promise.race([began, closed]);
  const delayMs = Math.random() * phase.usuallyMs;
  await sleep(delayMs);
  const killed = Date.now();
  child.kill('SIGKILL');
  await closed;
  // What it had said before the kill may have reached us only now.
  const isOver = events.some((event) => phase.ends(event, names()) && event.time <= killed);
  return isOver ? undefined : `${delayMs.toFixed(0)} ms in`;
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
