// Containers that are kept: made, started, stopped, killed, renamed, removed; what they share and what they do not; what is left when tbuild is killed.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freshStore } from '../support/stores.ts';
import { repository, tbuild as run, tbuildOk as runOk } from '../support/tbuild.ts';

let store: string;
beforeAll(() => {
  store = freshStore();
});
afterAll(async () => {
  const ids = (await runOk(['ps', '-aq'], { store })).split('\n').filter((id) => id !== '');
  if (ids.length > 0) await runOk(['rm', '-f', ...ids], { store });
});

const tbuild = (...args: string[]) => run(args, { store });
const ok = async (...args: string[]) => (await runOk(args, { store })).trimEnd();
const NONE = '--network=none';
/** Ends at SIGTERM, unlike a first process that says nothing of it. */
const SERVE = ['busybox', 'sh', '-c', 'trap "exit 3" TERM; while :; do sleep 0.1; done'];
const statusOf = async (name: string) => ok('ps', '-a', '--filter', `name=^/?${name}$`, '--format', '{{.State}}');
const directories = () => readdirSync(path.join(store, 'containers'));

describe('a container', () => {
  test('is created, started, stopped, started again and removed; its files stay until then', async () => {
    const id = await ok(
      'create',
      '--name',
      'life',
      NONE,
      'busybox',
      'sh',
      '-c',
      'date +%N >>/times; trap "exit 3" TERM; while :; do sleep 0.1; done',
    );
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect(await statusOf('life')).toBe('created');
    expect(await ok('start', 'life')).toBe('life');
    expect(await statusOf('life')).toBe('running');
    expect(await ok('stop', id.slice(0, 12))).toBe(id.slice(0, 12));
    expect(await statusOf('life')).toBe('exited');
    expect(await ok('wait', 'life')).toBe('3');
    await ok('start', 'life');
    expect((await tbuild('rm', 'life')).stderr).toContain(
      'cannot remove container "/life": container is running: stop the container before removing or force remove',
    );
    expect(await ok('stop', '-t', '5', 'life')).toBe('life');
    const times = readFileSync(path.join(store, 'containers', id, 'upper/times'), 'utf8');
    expect(times.split('\n')).toHaveLength(3);
    expect(await ok('rm', 'life')).toBe('life');
    expect(directories()).not.toContain(id);
    expect(await tbuild('rm', 'life')).toMatchObject({ code: 1, stderr: 'error: No such container: life\n' });
    expect(await tbuild('rm', '-f', 'life')).toMatchObject({ code: 0, stderr: 'error: No such container: life\n' });
  });

  test('exits as docker run does, and is kept without --rm', async () => {
    expect(await tbuild('run', '--name', 'seven', NONE, 'busybox', 'sh', '-c', 'echo out; echo err >&2; exit 7')).toEqual({
      code: 7,
      stdout: 'out\n',
      stderr: 'err\n',
    });
    expect(await statusOf('seven')).toBe('exited');
    expect(await tbuild('start', '-a', 'seven')).toEqual({ code: 7, stdout: 'out\n', stderr: 'err\n' });
    await ok('rm', 'seven');
    for (const [command, code] of [
      ['nosuch', 127],
      ['/etc/passwd', 126],
    ] as const) {
      expect((await tbuild('run', '--rm', NONE, 'busybox', command)).code).toBe(code);
      expect((await tbuild('run', '-d', '--rm', NONE, 'busybox', command)).code).toBe(code);
    }
    expect((await tbuild('run', NONE, '127.0.0.1:1/none', 'true')).code).toBe(125);
    expect(await ok('ps', '-aq')).toBe('');
  });

  test('reads what is piped into it, and has no more to read at the end', async () => {
    expect(await runOk(['run', '--rm', '-i', NONE, 'busybox', 'cat'], { store, input: 'word\n' })).toBe('word\n');
    expect(await runOk(['run', '--rm', NONE, 'busybox', 'cat'], { store, input: 'word\n' })).toBe('');
  });

  test('is shown as healthy or not, and ends when it is asked to', async () => {
    const check = ['--health-cmd', '[ -e /good ]', '--health-interval', '100ms', '--health-retries', '2'];
    await ok('run', '-d', '--name', 'checked', NONE, ...check, '--health-on-failure', 'kill', ...SERVE);
    await ok('exec', 'checked', 'touch', '/good');
    const shown = () => ok('ps', '-a', '--filter', 'name=checked', '--format', '{{.Status}}');
    await expect.poll(shown, { timeout: 20_000 }).toMatch(/^Up .*\(healthy\)$/);
    await ok('exec', 'checked', 'rm', '/good');
    await expect.poll(shown, { timeout: 20_000 }).toMatch(/^Exited \(137\)/);
    const health = JSON.parse(await ok('inspect', '--format', '{{json .State.Health}}', 'checked'));
    expect(health).toMatchObject({ Status: 'unhealthy', FailingStreak: 2 });
    await ok('rm', 'checked');
  });

  test('is there again after the machine was, if its policy says so and nobody stopped it', async () => {
    for (const [name, policy] of [
      ['ever', 'always'],
      ['unless', 'unless-stopped'],
      ['stopped', 'unless-stopped'],
      ['once', 'no'],
    ] as const)
      await ok('run', '-d', '--name', name, NONE, '--restart', policy, ...SERVE);
    await ok('stop', 'stopped', 'ever');
    // As a machine that goes down: nothing is asked to end.
    for (const name of ['unless', 'once']) {
      const id = await ok('inspect', '--format', '{{.Id}}', name);
      const { monitorPid } = JSON.parse(readFileSync(path.join(store, 'containers', id, 'state.json'), 'utf8'));
      process.kill(monitorPid, 'SIGKILL');
    }
    await expect.poll(() => statusOf('unless')).toBe('exited');
    expect((await ok('system', 'boot')).split('\n')).toEqual(['ever', 'unless']);
    expect(await Promise.all(['ever', 'unless', 'stopped', 'once'].map(statusOf))).toEqual([
      'running',
      'running',
      'exited',
      'exited',
    ]);
    await ok('rm', '-f', 'ever', 'unless', 'stopped', 'once');
  });

  test('is killed, paused and restarted', async () => {
    await ok('run', '-d', '--name', 'worker', NONE, ...SERVE);
    expect(await ok('pause', 'worker')).toBe('worker');
    expect(await statusOf('worker')).toBe('paused');
    expect((await tbuild('pause', 'worker')).stderr).toMatch(/container [0-9a-f]{64} is already paused/);
    expect(await ok('unpause', 'worker')).toBe('worker');
    expect((await tbuild('unpause', 'worker')).stderr).toMatch(/container [0-9a-f]{64} is not paused/);
    expect(await ok('restart', 'worker')).toBe('worker');
    expect(await statusOf('worker')).toBe('running');
    const waiting = ok('wait', 'worker');
    await ok('kill', '-s', 'TERM', 'worker');
    expect(await waiting).toBe('3');
    expect((await tbuild('kill', 'worker')).stderr).toMatch(
      /^error: cannot kill container: worker: container [0-9a-f]{64} is not running\n$/,
    );
    expect(await ok('restart', 'worker')).toBe('worker');
    await ok('kill', 'worker');
    expect(await ok('wait', 'worker')).toBe('137');
    await ok('rm', 'worker');
  });

  test('has a name that nobody else has, until it is gone or renamed', async () => {
    const id = await ok('run', '-d', '--name', 'web', NONE, ...SERVE);
    expect((await tbuild('create', '--name', 'web', 'busybox')).stderr).toBe(
      `error: Conflict. The container name "/web" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.\n`,
    );
    await ok('rename', 'web', 'old');
    await ok('create', '--name', 'web', 'busybox');
    await ok('rm', '-f', 'old', 'web');
    // Removed by its monitor: the name is free when it has ended.
    for (let i = 0; i < 3; i++) await ok('run', '--rm', '--name', 'web', NONE, 'busybox', 'true');
    expect(await ok('ps', '-aq')).toBe('');
  });

  test('writes its ID to a file that must not be there', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'tbuild-cid-'));
    const file = path.join(folder, 'cid');
    const id = await ok('create', '--cidfile', file, '--name', 'filed', 'busybox');
    expect(readFileSync(file, 'utf8')).toBe(id);
    expect((await tbuild('create', '--cidfile', file, 'busybox')).stderr).toBe(
      `error: container ID file found, make sure the other container isn't running or delete ${file}\n`,
    );
    rmSync(folder, { recursive: true });
    await ok('rm', 'filed');
  });

  test('keeps its image: rmi says who uses it, in docker’s words', async () => {
    await ok('tag', 'busybox', 'used');
    await ok('tag', 'debian:12', 'kept');
    const id = (await ok('create', '--name', 'user', 'busybox')).slice(0, 12);
    // It has other names: only this one goes.
    expect(await ok('rmi', 'used')).toBe('Untagged: used:latest');
    const image = (await ok('images', '-q', 'busybox')).slice(0, 12);
    expect((await tbuild('rmi', 'busybox')).stderr).toBe(
      `error: conflict: unable to remove repository reference "busybox" (must force) - container ${id} is using its referenced image ${image}\n`,
    );
    expect((await tbuild('rmi', image)).stderr).toBe(
      `error: conflict: unable to delete ${image} (must be forced) - image is being used by stopped container ${id}\n`,
    );
    await ok('tag', image, 'again');
    await ok('rm', 'user');
    await ok('rmi', 'again');
  });
});

describe('containers of one image', () => {
  test('share every byte, see nothing of each other’s writes or environment, and the image never changes', async () => {
    const before = await ok('fsck');
    const layers = () => spawnSync('du', ['-sb', path.join(store, 'layers')], { encoding: 'utf8' }).stdout;
    const bytes = layers();
    const write = 'echo "$WHO" >/own; echo "$WHO" >>/etc/passwd; rm /bin/vi; sleep 100';
    for (const who of ['one', 'two'])
      await ok('run', '-d', '--name', who, '-e', `WHO=${who}`, `--env=ONLY_${who}=1`, NONE, 'busybox', 'sh', '-c', write);
    for (const who of ['one', 'two']) {
      const upper = path.join(store, 'containers', await ok('ps', '-aq', '--no-trunc', '--filter', `name=${who}`), 'upper');
      await expect
        .poll(() => existsSync(path.join(upper, 'bin/vi')) || readdirSync(path.join(upper, 'bin')).includes('vi'))
        .toBe(true);
      expect(readFileSync(path.join(upper, 'own'), 'utf8')).toBe(`${who}\n`);
      expect(readFileSync(path.join(upper, 'etc/passwd'), 'utf8')).toMatch(new RegExp(`${who}\n$`));
      expect(readdirSync(upper).sort()).not.toContain('lib');
    }
    // A third one sees what the image has.
    const seen = await ok('run', '--rm', NONE, 'busybox', 'sh', '-c', 'ls /own /bin/vi; tail -1 /etc/passwd; env');
    expect(seen).not.toMatch(/one|two/);
    expect(seen).toContain('/bin/vi');
    expect(layers()).toBe(bytes);
    await ok('rm', '-f', 'one', 'two');
    expect(await ok('fsck')).toBe(before);
  });

  test('can be thirty at once', { timeout: 300_000 }, async () => {
    const names = Array.from({ length: 30 }, (_, i) => `many${i}`);
    await Promise.all(names.map((name) => ok('run', '-d', '--name', name, NONE, ...SERVE)));
    expect((await ok('ps', '-q')).split('\n')).toHaveLength(30);
    await ok('stop', ...names);
    expect(await ok('ps', '-q')).toBe('');
    await Promise.all(names.map((name) => ok('rm', name)));
    expect(directories()).toEqual([]);
  });
});

describe('a tbuild that is killed', () => {
  /** At some moment of what it does. */
  async function kill(args: readonly string[], afterMs: number): Promise<void> {
    const child = spawn(path.join(repository, 'bin/tbuild'), args, {
      env: { ...process.env, TBUILD_ROOT: store },
      stdio: 'ignore',
    });
    const ended = once(child, 'exit');
    await sleep(afterMs);
    child.kill('SIGKILL');
    await ended;
  }

  test('in create, start or rm leaves nothing that is wrong', { timeout: 300_000 }, async () => {
    for (let i = 0; i < 8; i++) {
      await kill(['create', '--name', 'killed', 'busybox', 'true'], 40 + i * 30);
      // It is there whole, or not at all.
      const is = await ok('ps', '-aq', '--filter', 'name=killed');
      if (is === '') await ok('create', '--name', 'killed', 'busybox', 'true');
      await ok('rm', 'killed');
    }
    await ok('create', '--name', 'killed', NONE, ...SERVE);
    for (let i = 0; i < 8; i++) {
      await kill(['start', 'killed'], 40 + i * 30);
      expect(['created', 'running', 'exited']).toContain(await statusOf('killed'));
      await ok('start', 'killed');
      expect(await statusOf('killed')).toBe('running');
      await ok('kill', 'killed');
      await ok('wait', 'killed');
    }
    for (let i = 0; i < 6; i++) {
      await kill(['rm', 'killed'], 40 + i * 30);
      const is = await ok('ps', '-aq', '--filter', 'name=killed');
      if (is === '') await ok('create', '--name', 'killed', NONE, 'busybox', 'true');
    }
    await ok('rm', '-f', 'killed');
    expect(directories()).toEqual([]);
    expect(await ok('fsck')).toContain('no problems');
  });
});
