// Where a RUN fails, or a step ends: a shell there, files of it; and no trace of a failure in the cache.
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

const failing = {
  Dockerfile: [
    'FROM busybox',
    'WORKDIR /app',
    'ENV GREETING=hello',
    'RUN mkdir -p /etc && echo somebody:x:1234:1234::/app:/bin/sh > /etc/passwd && chown 1234 /app',
    'USER somebody',
    'COPY input .',
    'RUN --mount=type=cache,target=/cache,uid=1234 --mount=type=bind,target=/ctx --mount=type=secret,id=token,target=/token,uid=1234 \\',
    '    mkdir reports && echo red > reports/unit && touch /cache/seen && ln -s unit reports/link && exit 3',
  ].join('\n'),
  input: 'from the context',
};

const folder = mkdtempSync(path.join(tmpdir(), 'tbuild-failed-'));
afterAll(() => rmSync(folder, { recursive: true }));

let store: string;
let context: string;
beforeAll(async () => {
  store = freshStore();
  context = makeContext(failing);
  chmodSync(context, 0o755);
  writeFileSync(path.join(folder, 'token'), 'sesame');
  const { code, stderr } = await tbuild(['--secret', `id=token,src=${folder}/token`, context], { store });
  expect([code, stderr.includes('hint: look around where it failed: tbuild shell')]).toEqual([1, true]);
});

const inside = (...args: string[]) => tbuildOk(['shell', ...args], { store });

describe('shell', () => {
  test('is where the command was: files, environment, user, directory, mounts', async () => {
    expect(await inside('pwd')).toBe('/app\n');
    expect(await inside('cat', 'reports/link')).toBe('red\n');
    expect(await inside('sh', '-c', 'echo $GREETING; id -u; ls /cache; cat /ctx/input')).toBe(
      'hello\n1234\nseen\nfrom the context',
    );
  });

  test('has secrets only where they are given again', async () => {
    expect((await tbuild(['shell', 'cat', '/token'], { store })).code).toBe(1);
    expect(await inside('--secret', `id=token,src=${folder}/token`, 'cat', '/token')).toBe('sesame');
  });

  test('leaves nothing of what is done there', async () => {
    await inside('touch', 'mine');
    expect(await inside('ls')).toBe('input\nreports\n');
  });

  test('exits as the command does', async () => {
    expect((await tbuild(['shell', 'sh', '-c', 'exit 7'], { store })).code).toBe(7);
    expect((await tbuild(['shell', 'no-such-program'], { store })).code).toBe(127);
  });

  test('says so where nothing has failed', async () => {
    const { code, stderr } = await tbuild(['shell'], { store: freshStore() });
    expect([code, stderr]).toEqual([
      125,
      'error: no RUN has failed in this store, or what it left is gone\nhint: run the build again: what a RUN leaves that fails is kept\n',
    ]);
  });
});

describe('files of it', () => {
  test('are copied out, as docker cp does', async () => {
    await tbuildOk(['cp', 'fail:/app/reports', path.join(folder, 'new')], { store });
    await tbuildOk(['cp', 'fail:/app/reports', folder], { store });
    await tbuildOk(['cp', 'fail:/app/reports/unit', path.join(folder, 'one')], { store });
    expect(readdirSync(path.join(folder, 'new')).sort()).toEqual(['link', 'unit']);
    expect(readFileSync(path.join(folder, 'reports/link'), 'utf8')).toBe('red\n');
    expect(readFileSync(path.join(folder, 'one'), 'utf8')).toBe('red\n');
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  test('that are not there are an error', async () => {
    const { code, stderr } = await tbuild(['cp', 'fail:/nowhere', folder], { store });
    expect([code, stderr]).toEqual([4, 'error: "/nowhere" not found in what the RUN left that failed\n']);
  });

  test('go to the output in CI, beside the failure', async () => {
    const output = path.join(folder, 'output');
    const args = ['--secret', `id=token,src=${folder}/token`, '-o', output, '--on-failure', '/app/reports', context];
    expect((await tbuild(args, { store })).code).toBe(1);
    expect(readFileSync(path.join(output, 'unit'), 'utf8')).toBe('red\n');
    const nowhere = ['-o', path.join(folder, 'empty'), '--on-failure', '/nowhere', context];
    expect((await tbuild(nowhere, { store })).code).toBe(1);
    expect(existsSync(path.join(folder, 'empty/unit'))).toBe(false);
    const { stderr } = await tbuild(['--on-failure', '/app', context], { store });
    expect(stderr).toBe(
      'error: --on-failure has nowhere to put what a RUN left\nhint: name a directory: --output DIRECTORY --on-failure PATH\n',
    );
  });
});

test('it is no result: the step runs again; prune takes it away', async () => {
  const { stderr } = await tbuild([context], { store });
  expect(stderr).toContain('ERROR: process');
  expect(await tbuildOk(['du'], { store })).toContain('what a RUN left that failed');
  await tbuildOk(['prune', '--force'], { store });
  expect((await tbuild(['shell', 'true'], { store })).code).toBe(125);
  expect(await tbuildOk(['fsck'], { store })).toContain('no problems');
});

test('the latest ten are kept', async () => {
  const own = freshStore();
  for (let number = 0; number < 12; number++) {
    await tbuild([makeContext({ Dockerfile: `FROM busybox\nRUN echo ${number} > /n && false` })], { store: own });
  }
  expect(await tbuildOk(['shell', 'cat', '/n'], { store: own })).toBe('11\n');
  const kept = (await tbuildOk(['du'], { store: own })).split('\n').filter((line) => line.includes('what a RUN left'));
  expect(kept).toHaveLength(10);
  expect(await tbuildOk(['fsck'], { store: own })).toContain('no problems');
});

describe('where a step has ended', () => {
  let built: string;
  beforeAll(async () => {
    built = freshStore();
    const Dockerfile = [
      'FROM busybox',
      'ENV STAGE=early',
      'RUN --mount=type=bind,target=/ctx mkdir /work && cp /ctx/input /work/first',
      'WORKDIR /work',
      'ENV STAGE=late',
      'RUN echo second > second',
      'COPY input third',
    ].join('\n');
    await tbuildOk(['-q', makeContext({ Dockerfile, input: 'in' })], { store: built });
  });
  const at = (step: string, ...command: string[]) => tbuildOk(['shell', '--at', step, ...command], { store: built });

  test('a shell has its files, its environment, and what was mounted', async () => {
    expect(await at('mkdir', 'sh', '-c', 'echo $STAGE; pwd; ls /work; cat /ctx/input')).toBe('early\n/\nfirst\nin');
    expect(await at('echo second', 'sh', '-c', 'echo $STAGE; pwd; ls')).toBe('late\n/work\nfirst\nsecond\n');
  });

  test('of a COPY it is as the RUN before it has seen it', async () => {
    expect(await at('COPY', 'sh', '-c', 'echo $STAGE; ls')).toBe('late\nfirst\nsecond\nthird\n');
  });

  test('files are copied out', async () => {
    await tbuildOk(['cp', 'step:mkdir:/work/first', path.join(folder, 'taken')], { store: built });
    expect(readFileSync(path.join(folder, 'taken'), 'utf8')).toBe('in');
  });

  test('one that there was not is an error that says which there are', async () => {
    const { code, stderr } = await tbuild(['shell', '--at', 'make'], { store: built });
    expect([code, stderr]).toEqual([
      125,
      expect.stringMatching(
        /^error: build [0-9a-f]{12} has no step "make"\nhint: a number, words of the instruction, or the name of a stage\n$/,
      ),
    ]);
  });
});
