// What every command pays before it does anything: the bundle's start, held near that of bare Node, and what it loads.
// Counts modules, which no busy machine can change, and CPU time against that of an empty program, which it changes little.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';

const bundle = path.join(import.meta.dirname, '../dist/tbuild.cjs');

test('a command starts without the parts it does not use', () => {
  const loaded = modulesOf(['version']);
  for (const unused of ['child_process', 'crypto', 'sqlite', 'http', 'https', 'tls', 'zlib'])
    expect(loaded).not.toContain(unused);
});

test('a build loads no network code', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'tbuild-startup-'));
  try {
    writeFileSync(path.join(directory, 'Dockerfile'), 'FROM scratch\nCOPY Dockerfile /\n');
    writeFileSync(path.join(directory, 'Dockerfile.lock'), '{"version": 1}\n');
    const loaded = modulesOf(['build', '--progress=quiet', directory], { TBUILD_ROOT: path.join(directory, 'store') });
    expect(loaded).toContain('sqlite');
    for (const unused of ['http', 'https', 'http2', 'tls', 'dns', 'zlib', 'readline', 'internal/deps/undici/undici'])
      expect(loaded).not.toContain(unused);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test('starting costs little more than Node itself', { timeout: 60_000 }, () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'tbuild-startup-'));
  try {
    const empty = path.join(directory, 'empty.cjs');
    writeFileSync(empty, '');
    const bareMs = cpuMs([empty]);
    const startMs = cpuMs([bundle, 'version']);
    expect(startMs - bareMs).toBeLessThan(30);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

/** Node's own modules that a command has loaded when it ends. */
function modulesOf(args: readonly string[], env: NodeJS.ProcessEnv = {}): string[] {
  const script = `
    process.on('exit', () => process._rawDebug(JSON.stringify(process.moduleLoadList)));
    process.argv.splice(1, 0, ${JSON.stringify(bundle)});
    require(${JSON.stringify(bundle)});`;
  const run = ['-e', `${script}`, '--', ...args];
  const output = execFileSync('sh', ['-c', '"$@" 2>&1 >/dev/null', 'sh', process.execPath, ...run], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  const list = JSON.parse(output.trim().split('\n').at(-1) ?? '[]') as string[];
  return list.map((name) => name.replace(/^NativeModule /, ''));
}

/** CPU time of one start, as the mean of twenty; the shell's `times` tells its children's user and system time in its second line. */
function cpuMs(args: readonly string[]): number {
  const starts = 20;
  const script = `for i in $(seq ${starts}); do "$@" >/dev/null || exit 1; done; times`;
  const stdout = execFileSync('sh', ['-c', script, 'sh', process.execPath, ...args], { encoding: 'utf8' });
  const parts = [...stdout.split('\n')[1]!.matchAll(/(\d+)m([\d.]+)s/g)];
  return parts.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60_000 + Number(seconds) * 1000, 0) / starts;
}
