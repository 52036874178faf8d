// The bytecode that src/cli/start.ts keeps, with the built bundle.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { fixtures } from '../../support/tbuild.ts';

const bundle = path.join(import.meta.dirname, '../../../dist/tbuild.cjs');
const dockerfile = path.join(fixtures, 'greeting/Dockerfile');

test('is kept, each command’s for itself, and used from then on', () => {
  const { run, codeFile } = makeCache();
  run('version');
  run('parse', dockerfile);
  const { ino, mtimeMs, mode } = statSync(codeFile('version'));
  expect(mode & 0o777).toBe(0o600);
  expect(existsSync(codeFile('parse'))).toBe(true);
  run('version');
  expect(statSync(codeFile('version'))).toMatchObject({ ino, mtimeMs });
});

test('is not kept of a command that fails', () => {
  const { run, home } = makeCache();
  expect(run('nonsense')).not.toBe(0);
  expect(run('parse', '/no/such/Dockerfile')).not.toBe(0);
  expect(readdirSync(home)).toEqual([]);
});

test('is not kept of what only asks: the work would be missing in it', () => {
  const { run, home } = makeCache();
  for (const args of [
    [],
    ['--help'],
    ['--version'],
    ['parse', '--help'],
    ['build', '--check', '-f', dockerfile, path.dirname(dockerfile)],
  ])
    expect(run(...args), args.join(' ')).toBe(0);
  expect(readdirSync(home)).toEqual([]);
});

test('is made anew where it is damaged', () => {
  const { run, codeFile } = makeCache();
  run('version');
  const whole = readFileSync(codeFile('version'));
  for (const damaged of [Buffer.alloc(0), Buffer.alloc(whole.length), whole.subarray(0, whole.length >> 1)]) {
    writeFileSync(codeFile('version'), damaged);
    expect(run('version')).toBe(0);
    expect(readFileSync(codeFile('version')).equals(damaged)).toBe(false);
  }
});

test('is not believed where another may have written it', () => {
  const { run, codeFile } = makeCache();
  run('version');
  for (const spoil of [(file: string) => chmodSync(file, 0o620), (file: string) => chownSync(file, 65534, 65534)]) {
    spoil(codeFile('version'));
    expect(run('version')).toBe(0);
    expect(statSync(codeFile('version'))).toMatchObject({ uid: process.getuid?.(), mode: 0o100600 });
  }
});

test('goes when it has not been made for a month', () => {
  const { run, codeFile } = makeCache();
  run('version');
  const ofThisBundle = path.dirname(codeFile('version'));
  const [old, recent] = ['old', 'recent'].map((name) => path.join(ofThisBundle, '..', name)) as [string, string];
  for (const other of [old, recent]) writeFileSync(other, '');
  utimesSync(old, 0, 0);
  run('parse', dockerfile);
  expect([existsSync(old), existsSync(recent)]).toEqual([false, true]);
});

test('is done without where there is no place for it', () => {
  expect(runIn('/dev/null', ['version'])).toBe(0);
  // As who has no entry in passwd may be: Node then fails to say where his home is.
  expect(spawnSync(process.execPath, [bundle, 'version'], { env: { PATH: process.env.PATH } }).status).toBe(0);
});

function makeCache() {
  const home = mkdtempSync(path.join(tmpdir(), 'tbuild-start-'));
  onTestFinished(() => rmSync(home, { recursive: true }));
  const codeFile = (command: string) => {
    const all = path.join(home, 'tbuild/code');
    const bundles = readdirSync(all).filter((name) => name.includes(process.version));
    return path.join(all, bundles[0] ?? 'none', command);
  };
  return { home, run: (...args: string[]) => runIn(home, args), codeFile };
}

function runIn(home: string, args: readonly string[]): number | null {
  return spawnSync(process.execPath, [bundle, ...args], {
    env: { ...process.env, XDG_CACHE_HOME: home, TBUILD_ROOT: `${home}/no-store` },
  }).status;
}
