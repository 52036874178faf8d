// The fixtures, as the README tells newcomers to use them: built, rebuilt, run.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { build } from '../support/events.ts';
import { freshStore } from '../support/stores.ts';
import { fixtures, repository, tbuild, tbuildOk } from '../support/tbuild.ts';

let store: string;
let scratch: string;
beforeAll(() => {
  store = freshStore();
  scratch = mkdtempSync(path.join(tmpdir(), 'tbuild-fixtures-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test('hello-c: a compiler in one stage, one file in the image', async () => {
  await tbuildOk(['-t', 'hello', path.join(fixtures, 'hello-c')], { store });
  expect(await tbuildOk(['run', '--rm', 'hello'], { store })).toBe('Hello from an image that holds one file.\n');
});

test('hello-c: an edit runs the compiler and not apt-get; without one nothing runs and the image is the same', async () => {
  const context = path.join(scratch, 'hello-c');
  cpSync(path.join(fixtures, 'hello-c'), context, { recursive: true });
  const build = () => tbuild(['-t', 'hello', '--progress=plain', context], { store });
  const before = await imageId('hello');
  const cached = await build();
  expect(cached.code, cached.stderr).toBe(0);
  expect(await imageId('hello')).toBe(before);
  expect(cached.stderr).not.toContain('cc -Os');

  const source = path.join(context, 'hello.c');
  writeFileSync(source, readFileSync(source, 'utf8').replace('Hello', 'Hello again'));
  const edited = await build();
  expect(edited.code, edited.stderr).toBe(0);
  expect(edited.stderr).toContain('cc -Os');
  expect(edited.stderr).not.toContain('Setting up gcc');
  expect(await tbuildOk(['run', '--rm', 'hello'], { store })).toBe('Hello again from an image that holds one file.\n');
});

test('parallel: stages that do not know of each other run at once', async () => {
  const { events, stderr } = await build(['-t', 'parallel', path.join(fixtures, 'parallel')], { store });
  const timesOf = (stage: string) => {
    const plan = events.find((event) => event.type === 'plan');
    const step = plan?.steps.find(({ name }) => name.startsWith(`[${stage} `) && name.includes('RUN'))?.step;
    const times = events.filter((event) => 'step' in event && event.step === step).map(({ time }) => time);
    return { start: Math.min(...times), end: Math.max(...times) };
  };
  const [one, two] = [timesOf('one'), timesOf('two')];
  expect(one.start, stderr).toBeLessThan(two.end);
  expect(two.start).toBeLessThan(one.end);
  const longestMs = Math.max(one.end - one.start, two.end - two.start);
  const wallMs = (events.at(-1)?.time ?? Number.NaN) - (events[0]?.time ?? Number.NaN);
  expect(wallMs).toBeLessThan(1.2 * longestMs);
  expect(await tbuildOk(['run', '--rm', 'parallel'], { store })).toBe('one\ntwo\n');
});

test('web: npm in a build stage, a server as another user, an end when asked', async () => {
  await tbuildOk(['-t', 'web', ...npmSecrets(), path.join(fixtures, 'web')], { store, timeoutMs: 600_000 });
  const port = await freePort();
  const child = spawn(path.join(repository, 'bin/tbuild'), ['run', '--rm', '--network=host', '-e', `PORT=${port}`, 'web'], {
    env: { ...process.env, TBUILD_ROOT: store },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  try {
    await Promise.race([once(child.stdout, 'data'), exited]);
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toContain('<h1>It works</h1>');
    expect(await (await fetch(`http://127.0.0.1:${port}/health`)).text()).toBe('ok\n');
    expect((await fetch(`http://127.0.0.1:${port}/package.json`)).status).toBe(404);
    // What ^C sends.
    child.kill('SIGINT');
    const [code] = await Promise.race([exited, sleep(10_000, ['still running'])]);
    expect(code).toBe(0);
  } finally {
    child.kill('SIGKILL');
  }
}, 600_000);

async function imageId(name: string): Promise<string> {
  return JSON.parse(await tbuildOk(['inspect', name], { store }))[0].Id;
}

/** What npm needs on this machine to reach its registry: the user's settings, and a certificate authority where there is one of the machine's own. */
function npmSecrets(): string[] {
  const settings = path.join(homedir(), '.npmrc');
  const registry = execFileSync('npm', ['config', 'get', 'registry'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }).trim();
  const npmrc = path.join(scratch, 'npmrc');
  writeFileSync(npmrc, `${existsSync(settings) ? readFileSync(settings, 'utf8') : ''}\nregistry=${registry}\n`, { mode: 0o600 });
  const authority = process.env.NODE_EXTRA_CA_CERTS;
  return ['--secret', `id=npmrc,src=${npmrc}`, ...(authority ? ['--secret', `id=ca,src=${authority}`] : [])];
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
