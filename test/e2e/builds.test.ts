// The builds there were: how they are listed, what is said of their steps, their logs, and what is different between what they made.

import { spawn } from 'node:child_process';
import { readdirSync, statSync, utimesSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { makeContext, writeFiles } from '../support/contexts.ts';
import { freshStore } from '../support/stores.ts';
import { repository, tbuild, tbuildOk } from '../support/tbuild.ts';

let store: string;
let context: string;
let first: string;
let second: string;
beforeAll(async () => {
  store = freshStore();
  context = makeContext({
    Dockerfile: 'FROM busybox AS base\nWORKDIR /app\nCOPY src src\nRUN cat src/* > built && rm src/b && echo said\n',
    'src/a': 'a\n',
    'src/b': 'b\n',
  });
  first = await buildOnce(['-t', 'app', '--build-arg', 'API_TOKEN=hush']);
  writeFiles(context, { 'src/a': 'edited\n' });
  second = await buildOnce(['-t', 'app']);
});

/** The id of its record. */
async function buildOnce(args: readonly string[]): Promise<string> {
  await tbuildOk(['build', '-q', ...args, context], { store });
  return (await tbuildOk(['builds', 'ls', '-q'], { store })).split('\n')[0] as string;
}

const json = async (...args: string[]) =>
  (await tbuildOk([...args, '--format=json'], { store }))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('tbuild builds', () => {
  it('ls lists them, the newest first, with how many steps were executed', async () => {
    const lines = (await tbuildOk(['builds', 'ls'], { store })).trim().split('\n');
    expect(lines[0]).toMatch(/^BUILD ID +NAME +STATUS +CREATED +DURATION +EXECUTED$/);
    expect(lines[1]).toMatch(new RegExp(`^${second} +app:latest +completed .* 2/3$`));
    expect(lines[2]).toMatch(new RegExp(`^${first} +app:latest +completed .* 3/3$`));
    const [newest] = await json('builds', 'ls');
    expect(newest).toMatchObject({ id: second, status: 'completed', names: ['app:latest'], context });
  });

  it('inspect shows one, by the beginning of its id, and no value that looks like a secret', async () => {
    const text = await tbuildOk(['builds', 'inspect', first.slice(0, 8)], { store });
    expect(text).toContain(`Build        ${first}`);
    expect(text).toContain('--build-arg=API_TOKEN=…');
    expect(text).not.toContain('hush');
    expect(text).toContain('executed');
    expect((await json('builds', 'inspect', first))[0].steps).toHaveLength(3);
  });

  it('logs prints what every step said', async () => {
    expect(await tbuildOk(['builds', 'logs', first], { store })).toMatch(/^#\d+ said$/m);
    expect((await tbuild(['builds', 'logs', 'ffffffffffff'], { store })).stderr).toContain('there is no build ffffffffffff');
  });

  it('a log that is no longer new is compressed, and read all the same', async () => {
    const log = readdirSync(path.join(store, 'logs')).sort()[0] as string;
    const old = Date.now() / 1000 - 2 * 3600;
    utimesSync(path.join(store, 'logs', log), old, old);
    writeFiles(context, { 'src/a': 'for another log\n' });
    await buildOnce([]);
    expect(readdirSync(path.join(store, 'logs'))).toContain(`${log}.zst`);
    expect(statSync(path.join(store, 'logs', `${log}.zst`)).mode & 0o077).toBe(0);
    expect(await tbuildOk(['builds', 'logs', first], { store })).toMatch(/^#\d+ said$/m);
  });

  it('rm removes record and log, and nothing that was made', async () => {
    writeFiles(context, { Dockerfile: 'FROM busybox\nRUN echo removed\n' });
    const id = await buildOnce(['-t', 'stays']);
    expect(await tbuildOk(['builds', 'rm', id], { store })).toBe(`${id}\n`);
    expect(await tbuildOk(['builds', 'ls', '-q'], { store })).not.toContain(id);
    expect(await tbuildOk(['images', '-q', 'stays'], { store })).not.toBe('');
    expect((await tbuild(['builds', 'rm'], { store })).code).toBe(2);
  });

  it('a build that failed and one that was killed are known as such, with what they had done', async () => {
    writeFiles(context, { Dockerfile: 'FROM busybox\nRUN echo done\nRUN false\n' });
    expect((await tbuild(['build', '-q', context], { store })).code).toBe(1);
    const [failed] = await json('builds', 'inspect');
    expect(failed).toMatchObject({ status: 'failed', steps: [{ how: 'executed' }, { how: 'failed' }] });
    expect(failed.error).toContain('exit code: 1');
    expect((await tbuild(['build', context], { store })).stderr).toContain('not cached: it failed the last time');

    writeFiles(context, { Dockerfile: 'FROM busybox\nRUN echo before the end\nRUN sleep 60\n' });
    const child = spawn(path.join(repository, 'bin/tbuild'), ['build', context], {
      env: { ...process.env, TBUILD_ROOT: store },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    while (!said.includes('RUN sleep 60')) await sleep(50);
    await sleep(300);
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));
    const [killed] = await json('builds', 'inspect');
    expect(killed).toMatchObject({ status: 'killed', steps: [{ how: 'executed' }, { how: 'waiting' }] });
  });
});

describe('tbuild why', () => {
  it('says of each step whether it was cached, and if not, why', async () => {
    const text = await tbuildOk(['why', '--build', second], { store });
    expect(text).toMatch(/WORKDIR \/app\n {3}cached {4}made \d{4}-/);
    expect(text).toMatch(/COPY src src \(line 3\)\n {3}executed {2}\d+\.\ds; src\/a: content/);
    expect(text).toMatch(/\(line 4\)\n {3}executed {2}\d+\.\ds; \/app\/src\/a: content\n {3}made {6}1 added, 1 deleted/);
  });

  it('shows what a step saw and made, by number, words or stage', async () => {
    const one = await tbuildOk(['why', '--build', second, '--all', 'cat SRC'], { store });
    expect(one).toContain('A /app/built');
    expect(one).toContain('D /app/src/b');
    expect(one).toMatch(/^ +C \/app\/src\/a [0-9a-f]{64}$/m);
    expect((await json('why', '--build', second, 'base')).map(({ how }) => how)).toEqual(['cached', 'executed', 'executed']);
    expect((await tbuild(['why', '--build', second, '99'], { store })).stderr).toContain('and no 99');
  });
});

describe('tbuild diff', () => {
  it('compares images, steps of builds, and what one layer changed', async () => {
    const lines = async (...args: string[]) => (await tbuildOk(['diff', ...args], { store })).trim().split('\n');
    expect(await lines('busybox', 'app')).toEqual(['A /app', 'A /app/built', 'A /app/src', 'A /app/src/a']);
    expect(await lines('app', 'busybox')).toEqual(['D /app']);
    expect(await lines(`step:${second}:cat src`)).toEqual(['A /app/built', 'D /app/src/b']);
    expect(await lines(`step:${first}:cat src`, `step:${second}:cat src`)).toEqual(['C /app/built', 'C /app/src/a']);
    expect(await json('diff', `step:${second}:copy`)).toContainEqual({ kind: 'A', path: '/app/src/a' });
    expect((await tbuild(['diff', 'step:nothing like it'], { store })).code).toBe(2);
    expect((await tbuild(['diff', 'blake3:none'], { store })).code).toBe(6);
  });
});
