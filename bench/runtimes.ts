// What it takes to run `true` in a bundle of busybox: tbuild-runner beside crun, runc, bubblewrap, and a bare clone3, pivot_root and exec as the limit.
// And a hundred at once. Says figures, judges nothing. A program of its own, which runs itself in a mount namespace where cgroups are as Debian's crun takes them.

import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import path from 'node:path';
import { has, median, sh } from './measure.ts';

const repository = path.join(import.meta.dirname, '..');
const ours = path.join(repository, 'dist/tbuild-runner');
const HYBRID = '/sys/fs/cgroup/unified';

interface Rival {
  readonly name: string;
  readonly command: readonly string[];
}

interface Taken {
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly peakKib: number;
}

if (existsSync(path.join(HYBRID, 'cgroup.procs'))) {
  const covered = `mount -t tmpfs tmpfs ${HYBRID} && exec "$@"`;
  const again = ['-m', '--propagation', 'private', 'sh', '-c', covered, 'sh', ...process.execArgv];
  const { status } = spawnSync('unshare', [...again, process.execPath, ...process.argv.slice(1)], { stdio: 'inherit' });
  process.exit(status ?? 1);
}

const pause = new Int32Array(new SharedArrayBuffer(4));
const scratch = mkdtempSync(path.join(repository, '.tbuild/bench-runtimes-'));
const spawn = path.join(scratch, 'spawn');
try {
  makeBundle();
  execFileSync('cc', ['-O2', '-static', '-o', spawn, path.join(import.meta.dirname, 'spawn.c')]);
  startOne(Number(process.env.BENCH_RUNS ?? 200));
  startMany(100);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

function makeBundle(): void {
  mkdirSync(path.join(scratch, 'rootfs/bin'), { recursive: true });
  for (const name of ['proc', 'sys', 'dev', 'tmp']) mkdirSync(path.join(scratch, 'rootfs', name));
  copyFileSync('/bin/busybox', path.join(scratch, 'rootfs/bin/busybox'));
  symlinkSync('busybox', path.join(scratch, 'rootfs/bin/true'));
  // The configuration that each of them writes to begin with, as crun and runc read it.
  execFileSync(ours, ['spec', '--bundle', scratch]);
  const file = path.join(scratch, 'config.json');
  const config = JSON.parse(sh(`cat ${file}`));
  config.ociVersion = '1.0.2';
  config.process = { ...config.process, terminal: false, args: ['/bin/true'] };
  writeFileSync(file, JSON.stringify(config));
}

function rivals(): Rival[] {
  const root = path.join(scratch, 'rootfs');
  const all: Rival[] = [
    { name: 'clone3, pivot_root, exec', command: [spawn, '-r', root, '/bin/true'] },
    {
      name: 'bubblewrap',
      command: [
        'bwrap',
        '--ro-bind',
        root,
        '/',
        '--proc',
        '/proc',
        '--dev',
        '/dev',
        '--unshare-all',
        '--die-with-parent',
        '/bin/true',
      ],
    },
    { name: 'tbuild-runner run', command: [ours, 'run', 'bench-ours'] },
    { name: 'crun run', command: ['crun', 'run', 'bench-crun'] },
    { name: 'runc run', command: ['runc', 'run', 'bench-runc'] },
  ];
  return all.filter(({ name, command }) => {
    const { status, stderr } = spawnSync(command[0]!, command.slice(1), { cwd: scratch, encoding: 'utf8' });
    if (status !== 0) console.log(`\n${name} is left out: ${stderr?.trim().split('\n').at(-1) ?? 'it is not installed'}`);
    return status === 0;
  });
}

function take(command: readonly string[]): Taken {
  const [wallUs, cpuUs, peakKib] = execFileSync(spawn, ['-t', ...command], { cwd: scratch, encoding: 'utf8' })
    .split(' ')
    .map(Number) as [number, number, number];
  return { wallMs: wallUs / 1000, cpuMs: cpuUs / 1000, peakKib };
}

/**
 * Whoever moves a process into a cgroup of version 1 waits for a grace period of RCU, some 10 ms, unless somebody has done so right before
 * (cgroup_threadgroup_rwsem). After a pause each of the rivals waits for itself, as a container that is started now and then does.
 */
function startOne(runs: number): void {
  const taken = rivals().map((rival) => ({ ...rival, all: [] as Taken[] }));
  for (let run = -2; run < runs; run++) {
    for (const { command, all } of taken) {
      Atomics.wait(pause, 0, 0, 100);
      const one = take(command);
      if (run >= 0) all.push(one);
    }
  }
  console.log(
    `\nA container of a bundle that runs true, ${runs} times each    (load ${loadavg()
      .map((value) => value.toFixed(1))
      .join(' ')})`,
  );
  console.log(`  ${''.padEnd(28)} wall ms (least)     CPU ms (least)      peak KiB`);
  const cell = (values: number[]) => `${median(values).toFixed(1).padStart(6)} (${Math.min(...values).toFixed(1)})`.padEnd(20);
  const middle = (name: string, of: keyof Taken) =>
    median(taken.find((one) => one.name === name)?.all.map((one) => one[of]) ?? []);
  for (const { name, all } of taken) {
    const peak = median(all.map(({ peakKib }) => peakKib)).toFixed(0);
    console.log(
      `  ${name.padEnd(28)} ${cell(all.map(({ wallMs }) => wallMs))}${cell(all.map(({ cpuMs }) => cpuMs))}${peak.padStart(7)}`,
    );
  }
  const share = (of: keyof Taken) => `${((100 * middle('tbuild-runner run', of)) / middle('crun run', of)).toFixed(0)} %`;
  console.log(
    `  → of crun's wall ${share('wallMs')}, CPU ${share('cpuMs')}, peak memory ${share('peakKib')} (aim: each below 100 %)`,
  );
}

/** All at once. Each must exit with 0, and be forgotten. */
function startMany(count: number): void {
  console.log(`\n${count} containers at once, started and removed`);
  const runtimes = [ours, 'crun', 'runc'].filter((runtime) => has(runtime));
  for (const runtime of runtimes) {
    const name = path.basename(runtime);
    const script = `for i in $(seq ${count}); do (${runtime} --root ${scratch}/many run many-${name}-$i || echo failed >>${scratch}/failed) & done; wait`;
    const times = Array.from({ length: 5 }, () => take(['sh', '-c', script]).wallMs);
    const failed = existsSync(`${scratch}/failed`) ? sh(`wc -l <${scratch}/failed`).trim() : '0';
    const records = sh(`${runtime} --root ${scratch}/many list -q`);
    const cgroups = sh(`find /sys/fs/cgroup -path ${HYBRID} -prune -o -name 'many-${name}-*' -print`);
    const lost = (records + cgroups).split('\n').length - 1;
    rmSync(`${scratch}/failed`, { force: true });
    console.log(
      `  ${name.padEnd(28)} ${median(times).toFixed(0).padStart(6)} ms (${Math.min(...times).toFixed(0)}), ${failed} failed, ${lost} left`,
    );
  }
}
