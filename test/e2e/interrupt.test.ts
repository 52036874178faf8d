// ^C: a build ends at once, with the exit code of an interruption, and nothing of it is left but the results of finished steps.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { build } from '../support/events.ts';
import { freshStore } from '../support/stores.ts';
import { repository, tbuild } from '../support/tbuild.ts';

test.each(['SIGINT', 'SIGTERM'] as const)('%s during a RUN', async (signal) => {
  const store = freshStore();
  const marker = `sleep 3${Math.floor(Math.random() * 1e6)}`;
  const context = makeContext({ Dockerfile: `FROM busybox\nRUN echo first > /first\nRUN echo begun; ${marker}\n` });
  const child = spawn(path.join(repository, 'bin/tbuild'), ['build', '--progress=plain', context], {
    env: { ...process.env, TBUILD_ROOT: store },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  await new Promise<void>((resolve) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (/^#\d+ [\d.]+ begun$/m.test(said)) resolve();
    });
  });
  const began = performance.now();
  child.kill(signal);
  const [code] = await once(child, 'exit');
  expect(code, said).toBe(130);
  expect(performance.now() - began).toBeLessThan(5000);
  expect(said).toMatch(/CANCELED/);
  await sleep(100);
  expect(commandLines().filter((line) => line.includes(marker))).toEqual([]);
  expect(readdirSync(path.join(store, 'tmp')).filter((name) => name !== '.gate')).toEqual([]);
  expect((await tbuild(['fsck'], { store })).code).toBe(0);
  const first = await build(['-f', '-', context], { store, input: 'FROM busybox\nRUN echo first > /first\n' });
  expect(first.cached).toEqual(['RUN echo first > /first']);
});

function commandLines(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return ''; // Gone meanwhile.
      }
    });
}
