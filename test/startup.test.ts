// What every command pays before it does anything: the bundle's start, held near that of bare Node.
// Counts bytes, which no busy machine can change, and CPU time against that of an empty program, which it changes little.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';

const dist = path.join(import.meta.dirname, '../dist');

test('a command starts without the parts it does not use', () => {
  const loaded = staticClosure('tbuild.js');
  const sizeBytes = loaded.reduce((sum, file) => sum + readFileSync(path.join(dist, file)).length, 0);
  expect(sizeBytes).toBeLessThan(16_000);
});

test('starting costs little more than Node itself', { timeout: 60_000 }, () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'tbuild-startup-'));
  try {
    const empty = path.join(directory, 'empty.mjs');
    writeFileSync(empty, '');
    const bareMs = cpuMs([empty]);
    const startMs = cpuMs([path.join(dist, 'tbuild.js'), 'version']);
    expect(startMs - bareMs).toBeLessThan(30);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

/** The files below dist that are loaded whatever happens: `file` and its static imports. */
function staticClosure(file: string, seen = new Set<string>()): string[] {
  if (seen.has(file)) return [];
  seen.add(file);
  const text = readFileSync(path.join(dist, file), 'utf8');
  const imported = [...text.matchAll(/^(?:import|export)\b[^'"(]*['"](\.[^'"]+)['"]/gm)].map((match) => match[1]!);
  return [file, ...imported.flatMap((name) => staticClosure(path.join(path.dirname(file), name), seen))];
}

/** CPU time of one start, as the mean of twenty; the shell's `times` tells its children's user and system time in its second line. */
function cpuMs(args: readonly string[]): number {
  const starts = 20;
  const script = `for i in $(seq ${starts}); do "$@" >/dev/null || exit 1; done; times`;
  const stdout = execFileSync('sh', ['-c', script, 'sh', process.execPath, ...args], { encoding: 'utf8' });
  const parts = [...stdout.split('\n')[1]!.matchAll(/(\d+)m([\d.]+)s/g)];
  return parts.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60_000 + Number(seconds) * 1000, 0) / starts;
}
