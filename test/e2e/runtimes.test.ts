// `--runtime`: another OCI runtime for RUN and for run, with Debian's crun and runc. What they are told is what ours is told, so what is seen is the same;
// what was cached under one is a hit under another.
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { build } from '../support/events.ts';
import { errorOf } from '../support/output.ts';
import { freshStore } from '../support/stores.ts';
import { repository, tbuild, tbuildOk } from '../support/tbuild.ts';
import { onTerminal } from '../support/terminal.ts';

let store: string;
beforeAll(() => {
  store = freshStore();
});

const runtimes = ['crun', 'runc'].filter((name) => {
  const isThere = spawnSync(name, ['--version']).status === 0;
  if (!isThere) console.log(`skipped: no ${name} on this machine`);
  return isThere;
});

const DOCKERFILE = `FROM busybox
COPY file /file
RUN cat /file; id; env | sort; pwd; touch /made; chown 5:6 /made; echo said >/dev/stdout
USER www-data
WORKDIR /tmp
ENV NAME=value
RUN id; env | sort; pwd; umask; grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status
RUN --network=none ip -o addr | wc -l; ls /sys/class/net
RUN --mount=type=secret,id=word,uid=33 --mount=type=tmpfs,target=/t --mount=type=bind,source=file,target=/b --mount=type=cache,target=/c \\
    cat /run/secrets/word /b; grep -c ' /t tmpfs' /proc/mounts; ls -d /c; cat /etc/hosts | tail -1; hostname
RUN exec 2>&1; cat /proc/keys /proc/kcore; ls /proc/scsi; echo x >/proc/sys/kernel/hostname; ls /dev | grep -vx core; stat -c '%u:%g' /made
USER root
RUN mknod /dev/vda b 254 0 2>/dev/null; dd if=/dev/vda of=/dev/null count=1 2>/dev/null || echo no device
`;

describe.each(runtimes)('%s', (runtime) => {
  test('RUN: user, environment, mounts, secrets, network and protection are as with our own', async () => {
    const context = makeContext({ Dockerfile: DOCKERFILE, file: 'content\n' });
    const run = async (...flags: string[]) => {
      const built = await build(['--userns', 'host', '--secret', 'id=word,env=WORD', '--no-cache', ...flags, context], {
        store,
        env: { WORD: 'secret' },
      });
      expect(errorOf(built)).toBeUndefined();
      return built.events.flatMap((event) => (event.type === 'output' ? [event.text] : [])).join('');
    };
    const seen = await run('--runtime', runtime);
    expect(seen).toEqual(await run());
    expect(seen).toContain('no device');
  });

  test('a RUN that fails, and one that cannot start', async () => {
    const fail = async (instruction: string) =>
      errorOf(await build(['--runtime', runtime, makeContext({ Dockerfile: `FROM busybox\n${instruction}\n` })], { store }));
    expect(await fail('RUN exit 3')).toMatchObject({ code: 'run/exit', message: expect.stringMatching(/exit code: 3$/) });
    expect(await fail('RUN ["nope"]')).toMatchObject({
      code: 'run/command-not-found',
      message: expect.stringContaining(`${runtime} cannot start the container`),
    });
  });

  test('what one made is a hit for the other', async () => {
    const context = makeContext({ Dockerfile: `FROM busybox\nRUN echo ${runtime} >/made\n` });
    const image = await tbuildOk(['build', '-q', '--runtime', runtime, context], { store });
    expect(await tbuildOk(['build', '-q', '--userns', 'host', context], { store })).toBe(image);
  });

  test('run: exit status, standard input, limits, and no trace afterwards', async () => {
    const run = (...args: string[]) => tbuild(['run', '--rm', '--runtime', runtime, ...args], { store, input: 'typed\n' });
    expect(await run('-i', 'busybox', 'sh', '-c', 'cat; exit 7')).toEqual({ code: 7, stdout: 'typed\n', stderr: '' });
    expect(await run('busybox', 'nope')).toMatchObject({ code: 127 });
    expect(await run('--pids-limit', '40', 'busybox', 'cat', '/proc/1/cgroup')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/pids:/),
    });
    expect(
      await tbuild(['run', '--rm', 'busybox', 'echo', 'by the environment'], { store, env: { TBUILD_RUNTIME: runtime } }),
    ).toMatchObject({
      code: 0,
      stdout: 'by the environment\n',
    });
    const left = spawnSync('find', ['/sys/fs/cgroup', '-path', '*/tbuild/*', '-name', '*-*-*-*-*'], { encoding: 'utf8' }).stdout;
    expect(left).toBe('');
  });

  test('run: signals reach the command', async () => {
    const child = spawn(
      path.join(repository, 'bin/tbuild'),
      [
        'run',
        '--runtime',
        runtime,
        'busybox',
        'sh',
        '-c',
        'trap "echo caught; exit 5" TERM; echo ready; while :; do sleep 0.05; done',
      ],
      { env: { ...process.env, TBUILD_ROOT: store }, stdio: ['ignore', 'pipe', 'inherit'] },
    );
    let out = '';
    const code = await new Promise((resolve) => {
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        out += text;
        if (text.includes('ready')) child.kill('SIGTERM');
      });
      child.once('close', resolve);
    });
    expect({ code, out }).toEqual({ code: 5, out: 'ready\ncaught\n' });
  });

  test('run -t: a terminal of its own, with the size of ours', async () => {
    const command = [
      path.join(repository, 'bin/tbuild'),
      'run',
      '-it',
      '--runtime',
      runtime,
      'busybox',
      'sh',
      '-c',
      // Debian's crun may lose what is written right before the end.
      'tty; stty size; sleep 0.3; exit 3',
    ];
    expect(await onTerminal(command, { ...process.env, TBUILD_ROOT: store })).toEqual({
      code: 3,
      text: '/dev/pts/0\r\n37 91\r\n',
    });
  });
});

test('one that is not there is an error before anything is built', async () => {
  const context = makeContext({ Dockerfile: 'FROM busybox\nRUN true\n' });
  const missing = await tbuild(['build', '--runtime', 'no-such-runtime', context], { store });
  expect(missing).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('there is no OCI runtime no-such-runtime: no such program is in PATH'),
  });
  const file = await tbuild(['run', '--rm', '--runtime', '/etc/passwd', 'busybox', 'true'], { store });
  expect(file).toMatchObject({
    code: 125,
    stderr: expect.stringContaining('there is no OCI runtime /etc/passwd: it is no program'),
  });
});
