// What shows containers, of real ones: ps, inspect, logs, top, stats, events, system df and prune.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freshStore } from '../support/stores.ts';
import { repository, tbuild as run, tbuildOk as runOk } from '../support/tbuild.ts';

let store: string;
let id: string;
const tbuild = (...args: string[]) => run(args, { store });
const ok = async (...args: string[]) => (await runOk(args, { store })).trimEnd();
const SERVE = 'trap "exit 3" TERM; echo started; echo trouble >&2; while :; do sleep 0.1; done';

beforeAll(async () => {
  store = freshStore();
  id = await ok('run', '-d', '--name', 'web', '--network=none', '--label', 'tier=front', 'busybox', 'sh', '-c', SERVE);
  await ok('create', '--name', 'idle', '--network=none', 'busybox', 'true');
});
afterAll(async () => {
  const ids = (await runOk(['ps', '-aq'], { store })).split('\n').filter((each) => each !== '');
  if (ids.length > 0) await runOk(['rm', '-f', ...ids], { store });
});

test('ps has docker’s columns, and shows what runs', async () => {
  const [head, row, ...rest] = (await ok('ps')).split('\n');
  expect(head).toMatch(/^CONTAINER ID {3}IMAGE {5}COMMAND +CREATED +STATUS +PORTS {5}NAMES$/);
  expect(row).toMatch(new RegExp(`^${id.slice(0, 12)}   busybox   "sh -c 'trap \\\\"exit 3…" +.* ago +Up .* +web$`));
  expect(rest).toEqual([]);
  expect(await ok('ps', '-a', '--format', '{{.Names}} {{.State}}')).toBe('idle created\nweb running');
  expect(await ok('container', 'ls', '-lq', '--no-trunc')).toMatch(/^[0-9a-f]{64}$/);
  expect(await ok('ps', '-aq', '--filter', 'label=tier=front')).toBe(id.slice(0, 12));
  expect(await ok('ps', '-as', '--filter', 'name=web', '--format', '{{.Size}}')).toMatch(/^\S+B \(virtual \S+B\)$/);
});

test('inspect is docker’s document, of what was found though something else was not', async () => {
  const [found] = JSON.parse(await ok('inspect', 'web'));
  expect(found).toMatchObject({
    Id: id,
    Name: '/web',
    State: { Status: 'running', Running: true },
    Config: { Image: 'busybox' },
  });
  expect(found.State.Pid).toBeGreaterThan(1);
  expect(await ok('inspect', '-f', '{{.State.Status}} {{.Config.Labels.tier}}', 'web')).toBe('running front');
  const { code, stdout, stderr } = await tbuild('inspect', '-f', '{{.Name}}', 'nobody', 'idle');
  expect({ code, stdout, stderr }).toEqual({ code: 1, stdout: '/idle\n', stderr: 'error: no such object: nobody\n' });
  expect(JSON.parse(await ok('inspect', '--type', 'image', 'busybox'))[0].RepoTags).toContain('busybox:latest');
  expect((await tbuild('container', 'inspect', 'busybox')).stderr).toContain('No such container: busybox');
});

describe('logs', () => {
  test('have both streams, the last lines, and times', async () => {
    expect(await tbuild('logs', 'web')).toEqual({ code: 0, stdout: 'started\n', stderr: 'trouble\n' });
    expect((await tbuild('logs', '--tail', '1', '-t', 'web')).stderr).toMatch(/^\d{4}-\d\d-\d\dT[\d:]+\.\d{9}Z trouble\n$/);
    expect(await ok('logs', '--since', '2999-01-01', 'web')).toBe('');
    expect((await tbuild('logs', 'nobody')).stderr).toBe('error: No such container: nobody\n');
  });

  test('are followed until the container ends, over renames of their files, without losing a line', async () => {
    const count = 3000;
    const script = `sleep 0.3; i=0; while [ $i -lt ${count} ]; do i=$((i+1)); echo line $i; done`;
    await ok(
      'run',
      '-d',
      '--name',
      'talk',
      '--network=none',
      '--log-opt',
      'max-size=40k',
      '--log-opt',
      'max-file=9',
      'busybox',
      'sh',
      '-c',
      script,
    );
    const text = await ok('logs', '-f', 'talk');
    expect(text).toBe(Array.from({ length: count }, (_, at) => `line ${at + 1}`).join('\n'));
    expect(await ok('logs', '-n', '2', 'talk')).toBe(`line ${count - 1}\nline ${count}`);
  });
});

test('top shows what runs in it, with ps’s columns', async () => {
  const [head, first] = (await ok('top', 'web')).split('\n');
  expect(head?.split(/\s+/)).toEqual(['UID', 'PID', 'PPID', 'C', 'STIME', 'TTY', 'TIME', 'CMD']);
  expect(first).toContain('sh -c trap');
  expect((await ok('top', 'web', '-o', 'pid,comm')).split('\n')[0]?.split(/\s+/)).toEqual(['PID', 'COMMAND']);
  expect((await tbuild('top', 'idle')).stderr).toMatch(/error: container [0-9a-f]{64} is not running/);
});

test('stats counts once what it takes', async () => {
  const [head, row] = (await ok('stats', '--no-stream', 'web')).split('\n');
  expect(head).toMatch(/^CONTAINER ID {3}NAME +CPU % +MEM USAGE \/ LIMIT +MEM % +NET I\/O +BLOCK I\/O +PIDS$/);
  expect(row).toMatch(new RegExp(`^${id.slice(0, 12)}   web `));
});

test('events are told as they happen, and afterwards', async () => {
  const watching = spawn(
    path.join(repository, 'bin/tbuild'),
    ['events', '--filter', 'container=brief', '--format', '{{.Action}}'],
    {
      env: { ...process.env, TBUILD_ROOT: store },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let told = '';
  watching.stdout.setEncoding('utf8').on('data', (text: string) => {
    told += text;
  });
  try {
    // It is ready when it tells of something.
    for (let at = 0; told === '' && at < 100; at++) {
      await ok('create', '--name', `brief-${at}`, '--network=none', 'busybox', 'true');
      await sleep(50);
    }
    await ok('run', '--name', 'brief', '--network=none', 'busybox', 'sh', '-c', 'exit 0');
    await ok('rm', 'brief');
    for (let at = 0; !told.includes('destroy') && at < 100; at++) await sleep(50);
  } finally {
    watching.kill('SIGTERM');
    await once(watching, 'exit');
  }
  expect(told.replace(/^(?:create\n)*(?=create\nstart)/, '')).toBe('create\nstart\ndie\ndestroy\n');
  const past = await ok('events', '--since', '10m', '--until', '0s', '--filter', 'container=brief', '--filter', 'event=die');
  expect(past).toMatch(/^\S+Z container die [0-9a-f]{64} \(execDuration=\d+, exitCode=0, image=busybox, name=brief\)$/m);
});

test('what nobody uses is counted, and goes', async () => {
  const usage = await ok('system', 'df', '--format', '{{.Type}} {{.TotalCount}} {{.Active}}');
  expect(usage).toMatch(/^Images \d+ 1\nContainers \d+ 1\nLocal Volumes 0 0\nBuild Cache \d+ 0$/);
  const text = await ok('system', 'prune', '-f', '--volumes');
  expect(text).toMatch(/^Deleted Containers:\n(?:[0-9a-f]{64}\n)+\n(?:.*\n)*Total reclaimed space: \S+B$/);
  expect(await ok('ps', '-a', '--format', '{{.Names}}')).toBe('web');
  expect(await ok('image', 'prune', '-af')).toMatch(
    /^Deleted Images:\nuntagged: debian:12\n(?:.*\n)*Total reclaimed space: \S+B$/,
  );
  expect(await ok('images', '--format', '{{.Repository}}')).toBe('busybox');
});
