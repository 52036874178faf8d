// What each flag of run and create does, seen from inside the container: flags, a command, and what it prints. How they are read is in
// test/unit/cli/create-options.test.ts.
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freshStore } from '../support/stores.ts';
import { type Result, tbuild, tbuildOk } from '../support/tbuild.ts';

let store: string;
let folder: string;
beforeAll(() => {
  store = freshStore();
  folder = mkdtempSync(path.join(tmpdir(), 'run-flags-'));
  mkdirSync(path.join(folder, 'below'));
  writeFileSync(path.join(folder, 'file'), 'of the host\n');
  writeFileSync(path.join(folder, 'env'), '# comment\nOF_FILE=1\nBOTH=file\n');
  writeFileSync(path.join(folder, 'no-mkdir.json'), JSON.stringify(profileWithoutMkdir));
  writeFileSync(path.join(folder, 'cdi.json'), JSON.stringify(cdi));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  // Levels above a container's own cgroup are nobody's to remove.
  const levels = globSync('/sys/fs/cgroup/{*/,}run-flags-test{/tbuild,}').sort().reverse();
  for (const level of levels) rmdirSync(level);
});

/** In docker's form, with what it has beside the runtime-spec. */
const profileWithoutMkdir = {
  defaultAction: 'SCMP_ACT_ALLOW',
  archMap: [
    { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'] },
    { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
  ],
  syscalls: [
    {
      names: ['mkdir', 'mkdirat'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: 28,
      args: [],
      comment: '',
      includes: { minKernel: '4.8' },
      excludes: {},
    },
    { names: ['uname'], action: 'SCMP_ACT_ERRNO', includes: { caps: ['CAP_SYS_ADMIN'] } },
  ],
};

const cdi = {
  cdiVersion: '0.6.0',
  kind: 'example.com/gpu',
  devices: [{ name: '0', containerEdits: { env: ['CDI=here'], deviceNodes: [{ path: '/dev/gpu0', hostPath: '/dev/null' }] } }],
};

function run(flags: readonly string[], command: readonly string[]): Promise<Result> {
  const args = flags.map((flag) => flag.replaceAll('FOLDER', folder));
  const env = { TBUILD_CDI_DIRS: folder, FROM_HERE: 'here' };
  // Off the machine's network it is in a user namespace of its own.
  const network = flags.some((flag) => flag.startsWith('--network')) ? [] : ['--network=none'];
  return tbuild(['run', '--rm', ...network, ...args, 'busybox', ...command], { store, env });
}

/** What a shell prints in it, with what it has to say of what went wrong. */
async function printed(flags: readonly string[], script: string): Promise<string> {
  const { stdout, stderr } = await run(flags, ['sh', '-c', `exec 2>&1; ${script}`]);
  return `${stdout}${stderr}`.trimEnd();
}

type Row = readonly [flags: readonly string[], script: string, prints: string | RegExp];

function rows(table: readonly Row[]): void {
  it.concurrent.each(
    table.map(([flags, script, prints]) => [flags.join(' '), script, { flags, prints }] as const),
  )('%s: %s', async (_flags, script, { flags, prints }) => {
    const expectation = expect(await printed(flags, script));
    if (typeof prints === 'string') expectation.toBe(prints);
    else expectation.toMatch(prints);
  });
}

describe('who and where', () => {
  rows([
    [
      ['-h', 'box', '--domainname', 'lan'],
      'hostname; cat /etc/hostname; cat /proc/sys/kernel/domainname; grep box /etc/hosts',
      'box\nbox\nlan\n127.0.0.1\tbox.lan box',
    ],
    [
      ['-e', 'A=1', '-e', 'FROM_HERE', '--env-file', 'FOLDER/env', '-e', 'BOTH=flag'],
      'echo $A $FROM_HERE $OF_FILE $BOTH',
      '1 here 1 flag',
    ],
    [
      ['-h', 'box'],
      'env | sort',
      'HOME=/root\nHOSTNAME=box\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/\nSHLVL=1',
    ],
    [['-u', '7:8', '--group-add', '9', '--group-add', '10'], 'id -u; id -g; id -G; echo $HOME', '7\n8\n8 9 10\n/'],
    [['-u', '0:5'], 'id -G', '5'],
    [['-w', '/new/place'], 'pwd; stat -c "%u %a" .', '/new/place\n0 755'],
    [['--entrypoint', 'echo'], 'x', 'sh -c exec 2>&1; x'],
    [['--add-host', 'db:10.0.0.7', '--add-host', 'six=[fd00::6]'], 'tail -n 2 /etc/hosts', '10.0.0.7\tdb\nfd00::6\tsix'],
    [
      ['--dns', '10.0.0.1', '--dns-search', 'lan', '--dns-option', 'ndots:3'],
      'cat /etc/resolv.conf',
      'nameserver 10.0.0.1\nsearch lan\noptions ndots:3',
    ],
    [['--uts=host'], 'hostname', hostname()],
    [['--userns=host'], 'cat /proc/self/uid_map | tr -s " "', ' 0 0 4294967295'],
    [['--annotation', 'a.b=c', '-l', 'x=y'], 'echo ran', 'ran'],
    [['-t'], 'tty; echo $TERM', /^\/dev\/pts\/0\r\nxterm$/],
    [['--init'], 'ps -o pid,args | sed -n 2p', /^\s+1 \/sbin\/docker-init/],
    [['--init'], 'sh -c "sleep 0.1 & exec sleep 0" ; sleep 0.5; ps -o stat | grep -c Z', '0'],
  ]);

  it('the first process of --init ends as the command does', async () => {
    expect((await run(['--init'], ['sh', '-c', 'exit 7'])).code).toBe(7);
    expect((await run(['--init'], ['sh', '-c', 'kill -9 $$'])).code).toBe(137);
    expect((await run(['--init'], ['no-such-command'])).code).toBe(127);
    expect((await run(['--init'], ['/etc'])).code).toBe(126);
  });

  it('an entrypoint that is taken away takes the command of the image along', async () => {
    const result = await run(['--entrypoint='], []);
    expect(result.code).toBe(125);
    expect(result.stderr).toContain('has no command to run');
  });

  it('the ID is written to --cidfile, which must not be there', async () => {
    const file = path.join(folder, 'cid');
    expect((await run(['--cidfile', file], ['true'])).code).toBe(0);
    expect(readFileSync(file, 'utf8')).toMatch(/^[0-9a-f]{64}$/);
    const again = await run(['--cidfile', file], ['true']);
    expect(again.code).toBe(125);
    expect(again.stderr).toContain("container ID file found, make sure the other container isn't running or delete");
  });
});

describe('rights', () => {
  const bounding = 'grep CapBnd /proc/self/status | cut -f 2';
  rows([
    [[], bounding, '00000000a80425fb'],
    [['--cap-drop', 'all'], bounding, '0000000000000000'],
    [['--cap-drop=ALL', '--cap-add', 'net_admin'], bounding, '0000000000001000'],
    [['--cap-add=SYS_ADMIN'], 'mkdir /m; mount -t tmpfs x /m && echo mounted', 'mounted'],
    [[], 'mkdir /m; mount -t tmpfs x /m || echo not mounted', /not mounted$/],
    [
      ['--cap-add', 'NET_ADMIN'],
      'ip link add dummy0 type dummy 2>/dev/null; ip link set lo mtu 1400 && cat /sys/class/net/lo/mtu',
      '1400',
    ],
    [['--security-opt', 'no-new-privileges'], 'grep NoNewPrivs /proc/self/status | cut -f 2', '1'],
    [['--security-opt', 'seccomp=unconfined'], 'grep Seccomp: /proc/self/status | cut -f 2', '0'],
    [
      ['--security-opt', 'seccomp=FOLDER/no-mkdir.json'],
      'mkdir /x; uname',
      "mkdir: can't create directory '/x': No space left on device\nLinux",
    ],
    [['--security-opt', 'systempaths=unconfined'], 'grep -c " /proc/" /proc/mounts', '0'],
    [['--security-opt', 'unmask=/proc/sys'], 'grep -c " /proc/sys " /proc/mounts; grep -c " /proc/bus " /proc/mounts', '0\n1'],
    [
      ['--privileged'],
      `${bounding}; grep Seccomp: /proc/self/status | cut -f 2; grep -c " /proc/" /proc/mounts; cut -c 1-21 /proc/self/uid_map | tr -d " "`,
      /^[0-9a-f]{8}f[ef]ffffff\n0\n0\n00$/,
    ],
    [['--privileged'], 'test -c /dev/kmsg && test -w /sys/fs && echo all', 'all'],
    [['--privileged', '--cap-drop=MKNOD'], 'mknod /x c 1 3', /Operation not permitted/],
    [
      ['--sysctl', 'net.ipv4.ip_forward=1', '--sysctl', 'kernel.msgmax=8000'],
      'cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax',
      '1\n8000',
    ],
    [['--read-only'], 'touch /x; touch /dev/shm/x && echo memory', /Read-only file system\nmemory$/],
    [['--oom-score-adj', '321'], 'cat /proc/self/oom_score_adj', '321'],
    [['--ulimit', 'nofile=100:200', '--ulimit', 'core=0'], 'ulimit -n; ulimit -Hn; ulimit -c', '100\n200\n0'],
    [['--pid=host'], 'test $(ls -d /proc/[0-9]* | wc -l) -gt 20 && echo all', 'all'],
    [['--ipc=none'], 'ls -d /dev/shm', /No such file/],
    [['--ipc=host'], 'readlink /proc/self/ns/ipc', linkOf('ipc')],
    [['--cgroupns=host'], 'readlink /proc/self/ns/cgroup', linkOf('cgroup')],
    [['--shm-size', '3m'], 'df -k /dev/shm | tail -n 1 | tr -s " " | cut -d " " -f 2', '3072'],
  ]);
});

function linkOf(namespace: string): string {
  return readlinkSync(`/proc/self/ns/${namespace}`);
}

describe('devices', () => {
  rows([
    [['--device', '/dev/null:/dev/mine'], 'echo x > /dev/mine && stat -c %t,%T /dev/mine', '1,3'],
    [
      ['--device', '/dev/loop-control:/dev/lc:r'],
      'true < /dev/lc && echo read; true 3<> /dev/lc',
      /^read\n.*Operation not permitted$/,
    ],
    [
      ['--device-cgroup-rule', 'c 10:237 r'],
      'mknod /dev/k c 10 237; true < /dev/k && echo read; mknod /dev/b b 254 0; true < /dev/b',
      /^read\n.*Operation not permitted$/,
    ],
    [['--device', 'example.com/gpu=0'], 'echo $CDI; stat -c %t,%T /dev/gpu0', 'here\n1,3'],
    [
      ['--device', '/dev/no-such'],
      'true',
      /error gathering device information while adding custom device "\/dev\/no-such": no such file or directory/,
    ],
    [['--gpus', 'all'], 'true', /device "nvidia.com\/gpu=all" is not registered/],
  ]);
});

describe('mounts', () => {
  rows([
    [['-v', 'FOLDER:/m'], 'cat /m/file; stat -c %u /m/file; touch /m/written && ls /m/written', 'of the host\n0\n/m/written'],
    [['-v', 'FOLDER:/m:ro'], 'cat /m/file; touch /m/x', /^of the host\n.*Read-only file system$/],
    [['-v', 'FOLDER/made/deep:/m:Z'], 'ls -d /m', '/m'],
    [['-v', 'FOLDER/file:/etc/hostname'], 'cat /etc/hostname', 'of the host'],
    [['-v', '/anonymous'], 'grep -c " /anonymous " /proc/mounts', '1'],
    [['-v', 'named:/v'], 'echo kept > /v/x', ''],
    [['--mount', 'type=bind,source=FOLDER,target=/m,readonly'], 'touch /m/x', /Read-only file system$/],
    [['--mount', 'type=bind,source=/no/such,target=/m'], 'true', /bind source path does not exist: \/no\/such/],
    [
      ['--mount', 'type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1750'],
      'stat -c %a /t; df -k /t | tail -n 1 | tr -s " " | cut -d " " -f 2',
      '1750\n1024',
    ],
    [['--tmpfs', '/t'], 'stat -c %a /t; grep " /t " /proc/mounts | grep -o "nosuid,nodev,noexec"', '1777\nnosuid,nodev,noexec'],
    [
      ['--tmpfs', '/t:exec,size=64k,mode=700'],
      'cp /bin/true /t/x; stat -c %a /t; grep " /t " /proc/mounts | grep -c noexec; df -k /t | tail -n 1 | tr -s " " | cut -d " " -f 2',
      /700\n0\n64$/,
    ],
    [
      ['--mount', 'type=image,source=debian:12,target=/i'],
      'cat /i/etc/debian_version; touch /i/x',
      /^12.*\n.*Read-only file system$/,
    ],
    [
      ['-v', 'FOLDER:/m', '--tmpfs', '/m/below'],
      'grep -o " /m.* [a-z0-9]* " /proc/mounts | grep -c tmpfs; cat /m/file',
      '1\nof the host',
    ],
  ]);

  it('a named volume is the same the next time', async () => {
    await run(['-v', 'twice:/v'], ['sh', '-c', 'echo one > /v/x']);
    expect(await printed(['-v', 'twice:/other:ro'], 'cat /other/x; touch /other/y')).toMatch(/^one\n.*Read-only file system$/);
  });
});

describe('limits', () => {
  const isUnified = existsSync('/sys/fs/cgroup/cgroup.controllers');
  const file = (version1: string, version2: string) => `cat /sys/fs/cgroup/${isUnified ? version2 : version1}`;
  rows([
    [['-m', '32m'], file('memory/memory.limit_in_bytes', 'memory.max'), '33554432'],
    [['-m', '32m', '--memory-reservation', '16m'], file('memory/memory.soft_limit_in_bytes', 'memory.low'), '16777216'],
    [['--cpus', '.5'], file('cpu/cpu.cfs_quota_us', 'cpu.max'), /^50000/],
    [['--cpuset-cpus', '0'], 'nproc', '1'],
    [['--pids-limit', '50'], file('pids/pids.max', 'pids.max'), '50'],
    [['--pids-limit', '5'], 'for i in 1 2 3 4 5 6 7 8; do sleep 1 & done', /can't fork/],
    [['--cgroup-parent', '/run-flags-test'], 'cat /proc/self/cgroup | head -n 1', /:\/$/],
  ]);
});

describe('another container', () => {
  const first = 'first-of-two';
  beforeAll(async () => {
    await tbuildOk(['run', '-d', '--name', first, '--network=none', 'busybox', 'sleep', '1000'], { store });
  });
  afterAll(async () => {
    await tbuild(['rm', '-f', first], { store });
  });

  /** With which namespaces of the first one's. */
  const shared = (flag: string) => printed([flag], 'for n in net pid ipc user; do readlink /proc/self/ns/$n; done; ps -o args');
  const ofFirst = async () => {
    const pid = (await tbuildOk(['inspect', '--format', '{{.State.Pid}}', first], { store })).trim();
    return ['net', 'pid', 'ipc', 'user'].map((name) => readlinkSync(`/proc/${pid}/ns/${name}`));
  };

  it.each([
    ['--network', 'net'],
    ['--pid', 'pid'],
    ['--ipc', 'ipc'],
  ])('%s=container: is in its namespace, and in its user namespace', async (flag, namespace) => {
    const own = await ofFirst();
    const seen = (await shared(`${flag}=container:${first}`)).split('\n');
    const common = seen.filter((line) => own.includes(line)).map((line) => line.split(':')[0]);
    expect(common).toEqual(expect.arrayContaining([namespace, 'user']));
    expect(common).toHaveLength(2);
    expect(seen.includes('sleep 1000')).toBe(namespace === 'pid');
  });

  it('that does not run cannot be joined', async () => {
    await tbuildOk(['create', '--name', 'never-ran', 'busybox'], { store });
    expect(await printed(['--pid=container:never-ran'], 'true')).toContain(
      'cannot join pid namespace of a non running container: never-ran',
    );
    expect(await printed(['--pid=container:nobody'], 'true')).toContain('No such container: nobody');
    await tbuildOk(['rm', 'never-ran'], { store });
  });
});

describe('what nothing inside shows is told by inspect', () => {
  const flags: [string[], object][] = [
    [['-l', 'a=b', '--annotation', 'c=d'], { Config: { Labels: { a: 'b' } }, HostConfig: { Annotations: { c: 'd' } } }],
    [['--restart', 'on-failure:3'], { HostConfig: { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 3 } } }],
    [['--stop-signal', 'SIGINT', '--stop-timeout', '7'], { Config: { StopSignal: 'SIGINT', StopTimeout: 7 } }],
    [
      ['--log-driver=local', '--log-opt', 'max-size=1m'],
      { HostConfig: { LogConfig: { Type: 'local', Config: { 'max-size': '1m' } } } },
    ],
    [
      ['--health-cmd', 'true', '--health-interval=5s', '--health-retries', '2'],
      { Config: { Healthcheck: { Test: ['CMD-SHELL', 'true'], Interval: 5e9, Retries: 2 } } },
    ],
    [
      ['--expose', '80', '-p', '127.0.0.1:8080:81'],
      {
        Config: { ExposedPorts: { '80/tcp': {}, '81/tcp': {} } },
        HostConfig: { PortBindings: { '81/tcp': [{ HostIp: '127.0.0.1', HostPort: '8080' }] } },
      },
    ],
    [['-it', '--name', 'with-a-name'], { Name: '/with-a-name', Config: { Tty: true, OpenStdin: true } }],
    [['--rm', '-P'], { HostConfig: { AutoRemove: true, PublishAllPorts: true } }],
  ];
  it.concurrent.each(flags)('%j', async (args, expected) => {
    const id = (await tbuildOk(['create', ...args, 'busybox', 'true'], { store })).trim();
    expect(JSON.parse(await tbuildOk(['inspect', id], { store }))[0]).toMatchObject(expected);
    await tbuildOk(['rm', id], { store });
  });

  it('--volumes-from has what another one has', async () => {
    await tbuildOk(['create', '--name', 'lends', '-v', 'lent:/v', 'busybox', 'true'], { store });
    expect(await printed(['--volumes-from', 'lends:ro'], 'touch /v/x')).toMatch(/Read-only file system$/);
    await tbuildOk(['rm', 'lends'], { store });
  });
});

describe('help', () => {
  it('names every flag that is read', async () => {
    const help = await tbuildOk(['run', '--help']);
    for (const flag of [
      '--cap-add list',
      '--security-opt list',
      '--sysctl map',
      '--mount mount',
      '-p, --publish list',
      '--gpus gpu-request',
    ])
      expect(help).toContain(flag);
  });
});
