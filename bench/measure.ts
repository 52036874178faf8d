// Times whole commands, children included, by bash's `time`: wall, user and system seconds. Rivals take turns, so that a machine whose
// speed drifts drifts for all of them; what is quoted is the median, with the least and the most beside it.

import { execFileSync, spawnSync } from 'node:child_process';
import { loadavg } from 'node:os';

export interface Rival {
  readonly name: string;
  /** For `sh -c`. */
  readonly command: string;
  /** Before each run, not timed. */
  readonly before?: () => void;
}

export interface Timing {
  readonly wallMs: readonly number[];
  readonly cpuMs: readonly number[];
}

/** One run of each that is not counted, then `runs` of each, in turns. Throws when a command fails. */
export function compare(rivals: readonly Rival[], runs: number, env: NodeJS.ProcessEnv = process.env): Map<string, Timing> {
  const timings = new Map(rivals.map(({ name }) => [name, { wallMs: [] as number[], cpuMs: [] as number[] }]));
  for (let run = -1; run < runs; run++) {
    for (const rival of rivals) {
      rival.before?.();
      const { wall, cpu } = timeOnce(rival, env);
      if (run < 0) continue;
      timings.get(rival.name)?.wallMs.push(wall);
      timings.get(rival.name)?.cpuMs.push(cpu);
    }
  }
  return timings;
}

/** The rival, if it works on this machine; else a line that says why it is left out. */
export function peer(rival: Rival, env: NodeJS.ProcessEnv = process.env): Rival[] {
  rival.before?.();
  const { status, stderr } = spawnSync('sh', ['-c', rival.command], { env, encoding: 'utf8' });
  if (status === 0) return [rival];
  console.log(`\n${rival.name} is left out: ${stderr.trim().split('\n').at(-1) ?? `it exits ${status}`}`);
  return [];
}

export function timeOnce({ name, command }: Rival, env: NodeJS.ProcessEnv): { wall: number; cpu: number } {
  const script = `TIMEFORMAT='%3R %3U %3S'; time { ${command}\n} >/dev/null 2>/tmp/tbuild-bench-$$.log; code=$?; [ $code = 0 ] || cat /tmp/tbuild-bench-$$.log >&2; rm -f /tmp/tbuild-bench-$$.log; exit $code`;
  const { status, stderr } = spawnSync('bash', ['-c', script], { env, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${name} failed (${status}): ${command}\n${stderr}`);
  const [wall, user, system] = stderr.trim().split('\n').at(-1)?.split(' ').map(Number) as [number, number, number];
  return { wall: wall * 1000, cpu: (user + system) * 1000 };
}

/** Of the largest process that `command` starts, itself included, in MiB. */
export function peakMemory(command: string, env: NodeJS.ProcessEnv = process.env): number {
  const script = `import resource, subprocess, sys
subprocess.run(['sh', '-c', sys.argv[1]], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)`;
  return Math.round(Number(execFileSync('python3', ['-c', script, command], { env, encoding: 'utf8' })) / 1024);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

export function show(title: string, timings: ReadonlyMap<string, Timing>, notes: readonly string[] = []): void {
  console.log(
    `\n${title}    (load ${loadavg()
      .map((value) => value.toFixed(1))
      .join(' ')})`,
  );
  const cell = (values: readonly number[]) =>
    `${median(values).toFixed(0).padStart(7)} (${Math.min(...values).toFixed(0)}–${Math.max(...values).toFixed(0)})`.padEnd(24);
  console.log(`  ${''.padEnd(44)} ${'wall ms'.padStart(7).padEnd(24)} CPU ms`);
  for (const [name, { wallMs, cpuMs }] of timings) console.log(`  ${name.padEnd(44)} ${cell(wallMs)} ${cell(cpuMs)}`);
  for (const note of notes) console.log(`  → ${note}`);
}

export function has(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
}

export function sh(command: string, env: NodeJS.ProcessEnv = process.env): string {
  return execFileSync('sh', ['-c', command], { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
