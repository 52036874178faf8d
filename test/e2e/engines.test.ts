// tbuild-runner under Debian's podman and buildah: the same command lines with crun and with it say the same and exit the same. What crun itself
// cannot do here (raise a limit without CAP_SYS_RESOURCE) is tried with ours alone.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Engines, type Said } from '../support/engines.ts';
import { repository, tbuildOk } from '../support/tbuild.ts';

const missing = ['podman', 'buildah', 'crun', 'conmon', 'nsenter', 'script'].filter(
  (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0,
);
if (missing.length > 0) console.log(`skipped: not installed: ${missing.join(', ')}`);

const ours = path.join(repository, 'dist/tbuild-runner');
let engines: Engines;

/** `run` without what every row has. */
const box = (...args: string[]) => ['run', '--rm', '--network', 'none', ...args];
const status = (what: string) => ['grep', what, '/proc/self/status'];

const ROWS: readonly (readonly string[])[] = [
  box('busybox', 'echo', 'hello'),
  box('busybox', 'sh', '-c', 'echo wrong >&2; exit 7'),
  box('busybox', 'sh', '-c', 'kill -9 $$'),
  box('busybox', 'no-such-command'),
  box('busybox', '/no/such'),
  box('busybox', '/etc'),
  box('-i', 'busybox', 'cat'),
  box('-t', 'busybox', 'tty'),
  box('-t', 'busybox', 'ls', '-l', '/dev/console', '/dev/fd', '/dev/stdin', '/dev/ptmx'),
  box('-e', 'A=b', '--env', 'A=c', 'busybox', 'env'),
  box('--user', '5:6', 'busybox', 'id'),
  box('--user', 'www-data', '--group-add', '7', 'busybox', 'id'),
  box('-w', '/tmp/made', 'busybox', 'pwd'),
  box('--umask', '077', 'busybox', 'sh', '-c', 'umask'),
  box('--hostname', 'box', 'busybox', 'hostname'),
  box('--read-only', 'busybox', 'touch', '/x'),
  box('--read-only', 'busybox', 'touch', '/run/x', '/tmp/x'),
  box('--tmpfs', '/t:size=1m,mode=700', 'busybox', 'sh', '-c', 'grep " /t " /proc/mounts; stat -c %a /t'),
  box('--tmpfs', '/etc', 'busybox', 'ls', '/etc/passwd'),
  box('-v', '/etc/hostname:/h:ro', 'busybox', 'sh', '-c', 'echo x >/h'),
  box('--mount', 'type=bind,src=/etc,dst=/e,ro,bind-propagation=rslave', 'busybox', 'ls', '/e/hostname'),
  box('--cap-drop', 'all', '--cap-add', 'chown', 'busybox', ...status('^Cap')),
  box('--user', '5', '--cap-add', 'chown', 'busybox', ...status('^Cap')),
  box('--privileged', 'busybox', ...status('^Cap\\|^Seccomp:\\|^NoNewPrivs')),
  box('--security-opt', 'no-new-privileges', 'busybox', ...status('^NoNewPrivs')),
  box('--security-opt', 'seccomp=unconfined', 'busybox', ...status('^Seccomp:')),
  box('busybox', ...status('^Seccomp:')),
  box('--security-opt', 'mask=/etc/passwd:/etc/group', 'busybox', 'cat', '/etc/passwd', '/etc/group'),
  box('--security-opt', 'unmask=/proc/kcore', 'busybox', 'cat', '/proc/keys'),
  box('--sysctl', 'net.ipv4.ip_forward=1', 'busybox', 'cat', '/proc/sys/net/ipv4/ip_forward'),
  box('--device', '/dev/null:/dev/mine', 'busybox', 'stat', '-c', '%F %a %t:%T', '/dev/mine'),
  box('--shm-size', '1m', 'busybox', 'df', '/dev/shm'),
  box('--oom-score-adj', '100', 'busybox', 'cat', '/proc/self/oom_score_adj'),
  box('--personality', 'LINUX32', 'busybox', 'uname', '-m'),
  box('--memory', '64m', 'busybox', 'cat', '/sys/fs/cgroup/memory/memory.limit_in_bytes'),
  box(
    '--cpu-shares',
    '300',
    '--cpus',
    '0.5',
    'busybox',
    'cat',
    '/sys/fs/cgroup/cpu/cpu.shares',
    '/sys/fs/cgroup/cpu/cpu.cfs_quota_us',
  ),
  box('--pids-limit', '50', 'busybox', 'cat', '/sys/fs/cgroup/pids/pids.max'),
  box('--cpuset-cpus', '0', 'busybox', ...status('^Cpus_allowed_list')),
  box('--memory', '32m', 'busybox', 'sh', '-c', 'x=x; while :; do x=$x$x$x$x; done'),
  box('--cgroupns', 'private', 'busybox', 'cat', '/proc/self/cgroup'),
  box('--cgroups', 'disabled', 'busybox', 'cat', '/proc/self/cgroup'),
  box('--pid', 'host', 'busybox', 'readlink', '/proc/self/ns/pid'),
  box('--ipc', 'host', '--uts', 'host', 'busybox', 'readlink', '/proc/self/ns/ipc', '/proc/self/ns/uts'),
  ['run', '--rm', '--network', 'host', 'busybox', 'readlink', '/proc/self/ns/net'],
  box('busybox', 'ip', 'addr', 'show', 'lo'),
  box(
    '--uidmap',
    '0:100000:1000',
    '--gidmap',
    '0:100000:1000',
    'busybox',
    'sh',
    '-c',
    'id; cat /proc/self/uid_map; ls /sys/fs/cgroup/pids',
  ),
  box('--timeout', '1', 'busybox', 'sleep', '30'),
  box('--annotation', 'a=b', '--log-driver', 'none', 'busybox', 'echo', 'hi'),
  box('--device-read-bps', '/dev/null:1mb', 'busybox', 'true'),
];

/** One container's life, one line after the other. */
const LIFE: readonly (readonly string[])[] = [
  [
    'run',
    '-d',
    '--name',
    'life',
    '--network',
    'none',
    'busybox',
    'sh',
    '-c',
    'echo started; trap "echo hup" HUP; while :; do sleep 0.1; done',
  ],
  ['exec', 'life', 'echo', 'inside'],
  ['exec', 'life', 'sh', '-c', 'exit 9'],
  ['exec', 'life', 'no-such-command'],
  ['exec', 'life', '/etc'],
  ['exec', '-i', 'life', 'cat'],
  ['exec', '-t', 'life', 'tty'],
  ['exec', '-u', '5:6', '-w', '/tmp', '-e', 'X=1', 'life', 'sh', '-c', 'id; pwd; echo $X'],
  ['exec', '--privileged', 'life', ...status('^CapEff')],
  ['exec', 'life', ...status('^CapEff\\|^Seccomp:')],
  ['exec', '-d', 'life', 'touch', '/made'],
  ['exec', 'life', 'sh', '-c', 'while ! [ -e /made ]; do sleep 0.05; done; ls /made'],
  ['exec', 'life', 'cat', '/proc/1/comm'],
  ['stats', '--no-stream', '--format', '{{.Name}}', 'life'],
  ['top', 'life', 'user'],
  ['pause', 'life'],
  ['ps', '--format', '{{.Names}} {{.State}}'],
  ['exec', 'life', 'true'],
  ['unpause', 'life'],
  ['update', '--memory', '50m', 'life'],
  ['exec', 'life', 'cat', '/sys/fs/cgroup/memory/memory.limit_in_bytes'],
  ['kill', '-s', 'HUP', 'life'],
  ['exec', 'life', 'sleep', '0.3'],
  ['logs', 'life'],
  ['inspect', '--format', '{{.State.Status}} {{.State.Running}} {{.State.OOMKilled}}', 'life'],
  ['stop', '-t', '1', 'life'],
  ['ps', '--all', '--format', '{{.Names}} {{.State}} {{.ExitCode}}'],
  ['start', 'life'],
  ['restart', '-t', '0', 'life'],
  ['kill', 'life'],
  ['wait', 'life'],
  ['rm', 'life'],
  ['run', '-d', '-i', '--name', 'cat', '--network', 'none', 'busybox', 'cat'],
  ['attach', 'cat'],
  ['logs', 'cat'],
  ['wait', 'cat'],
  ['rm', 'cat'],
  ['create', '--name', 'two', '--network', 'none', 'busybox', 'sh', '-c', 'sleep 0.5; echo two; exit 3'],
  ['start', '-a', 'two'],
  ['cp', '/etc/hostname', 'two:/copied'],
  ['diff', 'two'],
  ['rm', '-f', 'two'],
  ['run', '-d', '--name', 'shared', '--network', 'none', 'busybox', 'sleep', '100'],
  [
    'run',
    '--rm',
    '--pid',
    'container:shared',
    '--network',
    'container:shared',
    '--ipc',
    'container:shared',
    'busybox',
    'pgrep',
    '-x',
    'sleep',
  ],
  ['rm', '-f', '-t', '0', 'shared'],
  ['ps', '--all', '--quiet'],
];

beforeAll(async () => {
  if (missing.length > 0) return;
  engines = new Engines();
  await engines.ready();
  const archive = path.join(engines.folder, 'busybox.tar');
  await tbuildOk(['save', '--format', 'docker', '-o', archive, 'busybox']);
  expect(await engines.run('podman', ['load', '--quiet', '-i', archive])).toMatchObject({ code: 0 });
});
afterAll(() => engines?.close());

const podman = (runtime: string, args: readonly string[]) =>
  engines.run('podman', ['--runtime', runtime, ...args], 'from standard input\n');

/** IDs, times and how a runtime words its errors are its own; what podman makes of an error is not. */
function comparable(args: readonly string[], { code, stdout, stderr }: Said) {
  const withoutOwn = (text: string) =>
    text
      .replace(/\b[0-9a-f]{64}\b/g, 'ID')
      .replace(/\b[0-9a-f]{12}\b/g, 'ID')
      .replace(/(?:Less than a|\d+) seconds?(?= ago)/g, 'SOME TIME');
  const lines = withoutOwn(stdout).split('\n');
  // The order of variables and changes means nothing.
  const said =
    args.includes('env') || args[0] === 'diff'
      ? lines.toSorted()
      : lines.map((line) => line.replace(/ \w{3} +\d+ +\d+:\d+ /, ' TIME '));
  const error = withoutOwn(stderr).trim().split('\n').at(-1) ?? '';
  const isRuntimes = /^Error: .*(crun|tbuild-runner|OCI)/.test(error);
  return { code, said, error: isRuntimes ? /OCI [^:]*$/.exec(error)?.[0] : error.replace(/^time="[^"]*" /, '') };
}

describe.skipIf(missing.length > 0)('podman', () => {
  for (const args of ROWS) {
    test(args.slice(4).join(' '), async () => {
      const [theirs, own] = await Promise.all([podman('crun', args), podman(ours, args)]);
      expect(comparable(args, own), own.stderr).toEqual(comparable(args, theirs));
    });
  }

  test('the life of a container, line by line', async () => {
    const live = async (runtime: string) => {
      const all = [];
      for (const args of LIFE) all.push({ line: args.join(' '), ...comparable(args, await podman(runtime, args)) });
      return all;
    };
    const theirs = await live('crun');
    expect(await live(ours)).toEqual(theirs);
    expect(theirs.filter(({ code }) => code === 0).length).toBeGreaterThan(LIFE.length * 0.8);
  });

  test("-it: the terminal is the container's, with its size", async () => {
    const shown = (runtime: string) =>
      engines.onTerminal('podman', [
        '--runtime',
        runtime,
        ...box('-it', 'busybox', 'sh', '-c', 'tty; stty size; [ -t 0 ] && echo yes'),
      ]);
    expect(await shown(ours)).toEqual(await shown('crun'));
    expect(await shown(ours)).toEqual({ code: 0, text: '/dev/pts/0\r\n37 91\r\nyes\r\n' });
  });

  test('limits are raised as far as may be, where crun gives up without CAP_SYS_RESOURCE', async () => {
    const { code, stdout } = await podman(ours, box('--ulimit', 'nofile=50:60', 'busybox', 'sh', '-c', 'ulimit -n; ulimit -Hn'));
    expect({ code, stdout }).toEqual({ code: 0, stdout: '50\n60\n' });
  });
});

describe.skipIf(missing.length > 0)('buildah', () => {
  test('bud --isolation oci: RUN, its user, its directory, its mounts and its failure', async () => {
    const context = path.join(engines.folder, 'context');
    mkdirSync(context);
    writeFileSync(path.join(context, 'a'), 'content\n');
    writeFileSync(
      path.join(context, 'Dockerfile'),
      `FROM busybox
COPY a /a
RUN cat /a && id && touch /made && chown 5:6 /made
RUN stat -c '%u:%g' /made
USER www-data
WORKDIR /tmp
ENV NAME=value
RUN id && pwd && echo $HOME $NAME
RUN --mount=type=tmpfs,target=/t grep -c ' /t tmpfs' /proc/mounts
RUN exit 7
`,
    );
    const bud = (runtime: string) =>
      engines.run('buildah', ['bud', '--isolation', 'oci', '--runtime', runtime, '--network', 'none', '--pull-never', context]);
    const [theirs, own] = [await bud('crun'), await bud(ours)];
    expect(comparable([], own)).toEqual(comparable([], theirs));
    expect(own).toMatchObject({ code: 7, stdout: expect.stringContaining('5:6\n') });
  });

  test('run, without and with a terminal', async () => {
    const { stdout } = await engines.run('buildah', ['from', '--pull-never', 'busybox']);
    const run = (runtime: string, ...flags: string[]) =>
      engines.run('buildah', [
        'run',
        '--isolation',
        'oci',
        '--runtime',
        runtime,
        '--network',
        'none',
        ...flags,
        stdout.trim(),
        'sh',
        '-c',
        'tty; exit 4',
      ]);
    for (const flags of [[], ['-t']]) expect(await run(ours, ...flags)).toEqual(await run('crun', ...flags));
    expect(await engines.run('buildah', ['rm', stdout.trim()])).toMatchObject({ code: 0 });
  });
});
