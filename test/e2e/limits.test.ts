// Limits that hold: what a build and a run may take of the machine. Needs cgroups of version 1 or 2 with the controllers named.

import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { build } from '../support/events.ts';
import { errorOf, outputOf } from '../support/output.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild } from '../support/tbuild.ts';

let store: string;
beforeAll(() => {
  store = freshStore();
});

const cgroups = readFileSync('/proc/self/cgroup', 'utf8');
const has = (controller: string) => {
  const isThere =
    cgroups.split('\n').some((line) => line.split(':')[1]?.split(',').includes(controller)) ||
    (existsSync('/sys/fs/cgroup/cgroup.controllers') &&
      readFileSync('/sys/fs/cgroup/cgroup.controllers', 'utf8').split(/\s/).includes(controller));
  if (!isThere) console.error(`skipped: there is no controller ${controller} here`);
  return isThere;
};
const limits = has('memory') && has('pids') && has('cpu');

const context = (instructions: string) => makeContext({ Dockerfile: `FROM busybox\n${instructions}\n` });
const EAT = 'dd if=/dev/zero of=/dev/null bs=64M count=1';

const parent = `tbuild-test-${process.pid}`;
/** Wherever it is mounted. */
const parents = ['', ...cgroups.split('\n').flatMap((line) => line.split(':')[1] ?? [])]
  .map((controllers) => `/sys/fs/cgroup/${controllers.replace('name=', '')}/${parent}`)
  .filter((path, place, all) => all.indexOf(path) === place);
const left = () => parents.flatMap((path) => directoriesIn(`${path}/tbuild`));
const directoriesIn = (path: string) =>
  existsSync(path) ? readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory()) : [];

afterAll(() => {
  // A parent that a user names stays.
  for (const path of parents.filter((one) => existsSync(one))) {
    rmdirSync(`${path}/tbuild`);
    rmdirSync(path);
  }
});

describe.runIf(limits)('limits', () => {
  it('a RUN that takes more memory is killed, and says so', async () => {
    const built = await build(
      ['--resource', 'memory=32m', '--resource', 'memory-swap=32m', '--cgroup-parent', parent, context(`RUN ${EAT}`)],
      {
        store,
      },
    );
    expect(errorOf(built)).toMatchObject({
      code: 'run/exit',
      message: expect.stringMatching(/exit code: 137 \(cannot allocate memory\)$/),
      hint: expect.stringContaining('--resource memory'),
    });
    expect(left()).toEqual([]);
  });

  it('limits are no part of a step', async () => {
    const directory = context('RUN cat /proc/1/cgroup; true # limits');
    const first = await build(['--resource=cpu-shares=512', directory], { store });
    expect(first.ran.length).toBe(1);
    expect(outputOf(first, 'RUN')).toContain('/');
    expect((await build([directory], { store })).ran).toEqual([]);
    expect((await build(['--resource=memory=1g', directory], { store })).ran).toEqual([]);
  });

  it('run has docker’s flags', async () => {
    expect((await build(['-t', 'box', context('')], { store })).code).toBe(0);
    const run = (...args: string[]) => tbuild(['run', '--rm', ...args], { store });
    expect((await run('-m', '32m', '--memory-swap', '32m', 'box', 'sh', '-c', EAT)).code).toBe(137);
    const forks = await run('--pids-limit', '3', 'box', 'sh', '-c', 'sleep 1 & sleep 1 & sleep 1 & sleep 1 & echo all');
    expect(forks.stdout).not.toContain('all');
    expect(forks.stderr).toContain('fork');
    expect((await run('--cpus', '0.5', '--cpu-shares', '100', 'box', 'true')).code).toBe(0);
    expect(await run('--cpuset-cpus', '9-1', 'box', 'true')).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('linux.resources.cpu.cpus: "9-1" is not a list of numbers'),
    });
  });
});
