// Each flag of run and create, and what it becomes; and what docker refuses, in docker's words.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { containerFlags } from '../../../src/cli/container-flags.ts';
import { attachedStreams, readCreateOptions } from '../../../src/cli/create-options.ts';
import { parseFlags } from '../../../src/cli/flags.ts';
import type { CreateOptions } from '../../../src/containers/create-options.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'create-options-'));
  writeFileSync(path.join(folder, 'env'), '\ufeff# a comment\nA=1\n  B="as is" # too\nFROM_HERE\nNOT_HERE\n');
  writeFileSync(path.join(folder, 'labels'), 'one=1\ntwo\n');
  writeFileSync(path.join(folder, 'bad'), 'two words=1\n');
  writeFileSync(path.join(folder, 'profile.json'), '{ "defaultAction": "SCMP_ACT_ALLOW" }');
});
afterAll(() => rmSync(folder, { recursive: true }));

const told: string[] = [];

function options(args: readonly string[], env: Record<string, string> = {}): CreateOptions {
  const { flags } = parseFlags(
    containerFlags,
    args.map((arg) => arg.replaceAll('FOLDER', folder)),
  );
  told.length = 0;
  return readCreateOptions(flags, 'app', ['run', 'it'], { env, tell: (line) => told.push(line) });
}

const bind = { type: 'bind', nonRecursive: false, propagation: '', makesSource: true, readonly: false };
const volume = { type: 'volume', isAnonymous: false, readonly: false, noCopy: false };
const GIB = 2 ** 30;

describe('flags', () => {
  it('that are not given leave everything to the image', () => {
    expect(options([])).toMatchInlineSnapshot(`
      {
        "annotations": {},
        "autoRemove": false,
        "capAdd": [],
        "capDrop": [],
        "cgroupns": "private",
        "command": [
          "run",
          "it",
        ],
        "deviceRules": [],
        "devices": [],
        "dns": {
          "options": [],
          "search": [],
          "servers": [],
        },
        "domainname": "",
        "env": [],
        "exposed": [],
        "extraHosts": [],
        "groups": [],
        "hostname": "",
        "image": "app",
        "init": false,
        "ipc": "private",
        "labels": {},
        "limits": {},
        "log": {
          "driver": "json-file",
          "options": {},
        },
        "mounts": [],
        "network": {
          "attachment": {
            "aliases": [],
          },
          "mode": "default",
        },
        "openStdin": false,
        "pid": "private",
        "ports": [],
        "privileged": false,
        "publishAll": false,
        "pull": "missing",
        "readonlyRoot": false,
        "restart": {
          "maximumRetries": 0,
          "name": "no",
        },
        "rlimits": [],
        "security": {
          "noNewPrivileges": false,
          "unmask": [],
        },
        "sysctls": {},
        "terminal": false,
        "userns": "auto",
        "uts": "private",
        "volumesFrom": [],
      }
    `);
  });

  it.each<[string[], Partial<CreateOptions>]>([
    [['--name', 'web', '-h', 'box', '--domainname', 'lan'], { name: 'web', hostname: 'box', domainname: 'lan' }],
    [['-it'], { terminal: true, openStdin: true }],
    [['--entrypoint', 'sh'], { entrypoint: ['sh'] }],
    [['--entrypoint='], { entrypoint: [] }],
    [['-w', '/srv', '-u', 'a:b', '--group-add', 'tty', '--group-add=7'], { workdir: '/srv', user: 'a:b', groups: ['tty', '7'] }],
    [['-l', 'a=b=c', '--label-file', 'FOLDER/labels', '-l', 'two=2'], { labels: { one: '1', two: '2', a: 'b=c' } }],
    [['--annotation', 'a.b=c'], { annotations: { 'a.b': 'c' } }],
    [['--platform', 'linux/arm64', '--pull', 'always'], { platform: { os: 'linux', architecture: 'arm64' }, pull: 'always' }],
    [['--cidfile', '/x/id', '--rm'], { cidFile: '/x/id', autoRemove: true }],
    [['--restart', 'on-failure:3'], { restart: { name: 'on-failure', maximumRetries: 3 } }],
    [['--restart='], { restart: { name: 'no', maximumRetries: 0 } }],
    [['--stop-signal', 'SIGINT', '--stop-timeout', '-1'], { stopSignal: 'SIGINT', stopTimeoutSeconds: -1 }],
    [['--log-driver', 'local', '--log-opt', 'max-size=1m'], { log: { driver: 'local', options: { 'max-size': '1m' } } }],
    [['--log-driver=none'], { log: { driver: 'none', options: {} } }],
    [['--init', '--read-only', '--privileged', '-P'], { init: true, readonlyRoot: true, privileged: true, publishAll: true }],
    [['--shm-size', '2g', '--oom-score-adj=-5'], { shmBytes: 2 * GIB, oomScoreAdj: -5 }],
    [
      ['--ulimit', 'nofile=1:2', '--ulimit', 'core=0', '--ulimit', 'nofile=3'],
      {
        rlimits: [
          { type: 'RLIMIT_NOFILE', soft: 3, hard: 3 },
          { type: 'RLIMIT_CORE', soft: 0, hard: 0 },
        ],
      },
    ],
    [['--cgroup-parent', '/a', '--cgroupns=host'], { cgroupParent: '/a', cgroupns: 'host' }],
    [['--runtime', 'crun', '--userns=host'], { runtime: 'crun', userns: 'host' }],
    [['--pid=host', '--ipc=shareable', '--uts=host'], { pid: 'host', ipc: 'shareable', uts: 'host' }],
    [['--pid=container:db', '--ipc=container:db'], { pid: 'container:db', ipc: 'container:db' }],
    [
      ['--volumes-from', 'a', '--volumes-from=b:ro,z'],
      {
        volumesFrom: [
          { container: 'a', readonly: false },
          { container: 'b', readonly: true },
        ],
      },
    ],
  ])('%j', (args, expected) => {
    expect(options(args)).toMatchObject(expected);
    expect(told).toEqual([]);
  });
});

describe('the environment', () => {
  it('is of the files first, then of -e; a name alone has the value that it has here', () => {
    const env = { FROM_HERE: 'here' };
    const given = ['-e', 'A=2', '--env-file', 'FOLDER/env', '-e', 'FROM_HERE', '-e', 'UNSET', '-e', 'EMPTY='];
    expect(options(given, env).env).toEqual([
      'A=1',
      'B="as is" # too',
      'FROM_HERE=here',
      'A=2',
      'FROM_HERE=here',
      'UNSET',
      'EMPTY=',
    ]);
  });
});

describe('mounts', () => {
  it.each<[string[], object[]]>([
    [['-v', '/data'], [{ ...volume, name: '', isAnonymous: true, target: '/data' }]],
    [['-v', 'db:/data/:ro'], [{ ...volume, name: 'db', target: '/data', readonly: true }]],
    [['-v', 'db:/data:nocopy,rw'], [{ ...volume, name: 'db', target: '/data', noCopy: true }]],
    [['-v', '/a:/b'], [{ ...bind, source: '/a', target: '/b' }]],
    [['-v', '/a/../c:/b/.:ro,Z,rshared'], [{ ...bind, source: '/c', target: '/b', readonly: true, propagation: 'rshared' }]],
    [['-v', './x:/b'], [{ ...bind, source: path.resolve('x'), target: '/b' }]],
    [['--tmpfs', '/t'], [{ type: 'tmpfs', target: '/t', options: [] }]],
    [['--tmpfs', '/t:size=1m,mode=700,exec'], [{ type: 'tmpfs', target: '/t', options: ['size=1m', 'mode=700', 'exec'] }]],
    [
      ['--mount', 'type=bind,src=FOLDER,dst=/b,ro'],
      [{ ...bind, source: 'FOLDER', target: '/b', readonly: true, makesSource: false }],
    ],
    [
      ['--mount', 'type=bind,"source=/new,dir",target=/b,bind-create-src,bind-propagation=rslave,bind-nonrecursive=true'],
      [{ ...bind, source: '/new,dir', target: '/b', propagation: 'rslave', nonRecursive: true }],
    ],
    [
      ['--mount', 'type=bind,source=FOLDER,target=/b,readonly=1,bind-recursive=writable'],
      [{ ...bind, source: 'FOLDER', target: '/b', readonly: true, makesSource: false, isWritableBelow: true }],
    ],
    [['--mount', 'target=/v'], [{ ...volume, name: '', isAnonymous: true, target: '/v' }]],
    [
      ['--mount', 'type=volume,source=db,target=/v,volume-nocopy,volume-subpath=a/b,volume-label=x=y,volume-driver=local'],
      [{ ...volume, name: 'db', target: '/v', noCopy: true, subpath: 'a/b', labels: { x: 'y' } }],
    ],
    [
      ['--mount', 'type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770'],
      [{ type: 'tmpfs', target: '/t', options: ['size=1048576', 'mode=1770'] }],
    ],
    [['--mount', 'type=image,source=busybox:1,target=/i'], [{ type: 'image', image: 'busybox:1', target: '/i' }]],
  ])('%j', (args, expected) => {
    expect(options(args).mounts).toEqual(JSON.parse(JSON.stringify(expected).replaceAll('FOLDER', folder)));
  });

  it.each([
    [['-v', 'a:b:c:d'], "invalid volume specification: 'a:b:c:d'"],
    [['-v', 'relative:'], "invalid volume specification: 'relative:'"],
    [['-v', '/a:ro'], "invalid volume specification: '/a:ro'"],
    [['-v', '/a:/b:ro,rw'], 'invalid mode: ro,rw'],
    [['-v', '/a:/b:nonsense'], 'invalid mode: nonsense'],
    [['-v', '/a:b'], "invalid mount path: 'b' mount path must be absolute"],
    [['-v', '/a:/b/..'], "destination can't be '/'"],
    [['-v', 'a b:/c'], '"a b" includes invalid characters for a local volume name'],
    [['-v', '/a:/x', '--tmpfs', '/x/'], 'duplicate mount point: /x'],
    [['--tmpfs', '/x:frob'], 'invalid tmpfs option "frob"'],
    [['--mount', 'type=bind,target=/x'], 'field Source must not be empty'],
    [['--mount', 'type=bind,source=/no/such,target=/x'], 'bind source path does not exist: /no/such'],
    [['--mount', 'type=bind,source=rel,target=/x'], "invalid mount path: 'rel' mount path must be absolute"],
    [['--mount', 'source=a'], 'invalid argument "source=a" for "--mount" flag: target is required'],
    [['--mount', 'type=tmpfs,target=/x,bind-propagation=shared'], "cannot mix 'bind-*' options with mount type 'tmpfs'"],
    [['--mount', 'type=frob,target=/x'], 'mount type unknown: "frob"'],
    [['--mount', 'frob,target=/x'], "invalid field 'frob' must be a key=value pair"],
    [['--mount', 'frob=1,target=/x'], "unexpected key 'frob' in 'frob=1'"],
    [['--mount', 'target=/x,readonly=perhaps'], 'invalid value for readonly: perhaps'],
    [['--mount', 'source=v,target=/x,volume-subpath=../..'], 'subpath must be a relative path within the volume'],
    [['--volumes-from', ':ro'], 'no container is named'],
    [['--volumes-from', 'a:nocopy'], 'invalid mode for volumes-from: nocopy'],
  ])('%j is refused', (args, message) => {
    expect(() => options(args)).toThrow(message);
  });
});

describe('networks and ports', () => {
  const port = { hostAddress: '', hostPort: 0, containerPort: 80, protocol: 'tcp' };
  it.each<[string[], object]>([
    [[], { network: { mode: 'default', attachment: { aliases: [] } }, exposed: [], ports: [] }],
    [['--network=host'], { network: { mode: 'host' } }],
    [['--net', 'none'], { network: { mode: 'none' } }],
    [['--network', 'container:db'], { network: { mode: 'container', container: 'db' } }],
    [
      ['--mac-address', '92:d0:c6:0a:29:33'],
      { network: { mode: 'default', attachment: { aliases: [], mac: '92:d0:c6:0a:29:33' } } },
    ],
    [
      ['--network', 'a', '--ip', '10.0.0.9', '--network-alias', 'x', '--net-alias=y', '--network', 'name=b,alias=z,ip=10.1.0.9'],
      {
        network: {
          mode: 'bridge',
          networks: [
            { network: 'a', aliases: ['y', 'x'], address: '10.0.0.9' },
            { network: 'b', aliases: ['z'], address: '10.1.0.9' },
          ],
        },
      },
    ],
    [['-p', '80'], { ports: [port], exposed: ['80/tcp'] }],
    [['-p', '8080:80'], { ports: [{ ...port, hostPort: 8080 }] }],
    [['-p', '127.0.0.1:8080:80/udp'], { ports: [{ ...port, hostAddress: '127.0.0.1', hostPort: 8080, protocol: 'udp' }] }],
    [['-p', '127.0.0.1::80'], { ports: [{ ...port, hostAddress: '127.0.0.1' }] }],
    [['-p', '[::1]:8080:80'], { ports: [{ ...port, hostAddress: '::1', hostPort: 8080 }] }],
    [
      ['-p', '8000-8001:80-81'],
      {
        ports: [
          { ...port, hostPort: 8000 },
          { ...port, hostPort: 8001, containerPort: 81 },
        ],
      },
    ],
    [['-p', '8000-8009:80'], { ports: [{ ...port, hostPort: 8000, hostPortEnd: 8009 }] }],
    [['-p', 'published=8080,target=80,protocol=sctp'], { ports: [{ ...port, hostPort: 8080, protocol: 'sctp' }] }],
    [['--expose', '80', '--expose', '53-54/udp', '-p', '80'], { exposed: ['80/tcp', '53/udp', '54/udp'] }],
    [
      ['--dns=1.1.1.1', '--dns-search', 'example.org', '--dns-search=.', '--dns-opt', 'ndots:2', '--dns-option=rotate'],
      { dns: { servers: ['1.1.1.1'], search: ['example.org', '.'], options: ['ndots:2', 'rotate'] } },
    ],
    [
      ['--add-host', 'a:10.0.0.1', '--add-host=b=[fd00::1]', '--add-host', 'h:host-gateway'],
      { extraHosts: ['a:10.0.0.1', 'b:fd00::1', 'h:host-gateway'] },
    ],
  ])('%j', (args, expected) => {
    expect(options(args)).toMatchObject(expected);
  });

  it.each([
    [['-p', 'x'], 'invalid containerPort: x'],
    [['-p', 'x:80'], 'invalid hostPort: x'],
    [['-p', '8080:80/frob'], 'invalid proto: frob'],
    [['-p', '8080:'], 'no port specified: 8080:<empty>'],
    [['-p', '300.0.0.1:1:2'], 'invalid IP address: 300.0.0.1'],
    [['-p', '1-2:3-5'], 'invalid ranges specified for container and host Ports: 3-5 and 1-2'],
    [['-p', '80:70000'], 'invalid containerPort: 70000'],
    [['--expose', '1:2'], 'invalid port format for --expose: 1:2'],
    [['--expose', 'x'], 'invalid range format for --expose: x'],
    [['--network', 'a', '--network', 'host'], 'cannot attach both user-defined and non-user-defined network-modes'],
    [['--network', 'a', '--network', 'a'], 'network "a" is specified multiple times'],
    [['--network', 'name=a,frob=1'], 'invalid field key frob'],
    [['--network', 'alias=x'], 'network name/id is not specified'],
    [['--network-alias', 'x'], 'network-scoped aliases are only supported for user-defined networks'],
    [['--network', 'name=a,ip=10.0.0.1', '--ip=10.0.0.2'], 'cannot specify both --ip and per-network IPv4 address'],
    [
      ['--ip', '10.0.0.9'],
      'user specified IP address is supported only when connecting to networks with user configured subnets',
    ],
    [['--mac-address', 'nonsense'], 'nonsense is not a valid mac address'],
    [['--network=container:a', '-h', 'x'], 'conflicting options: hostname and the network mode'],
    [['--network=container:a', '-p', '80'], 'conflicting options: port publishing and the container type network mode'],
    [['--network=container:a', '--dns', '1.1.1.1'], 'conflicting options: dns and the network mode'],
    [['--dns', 'nobody'], 'invalid argument "nobody" for "--dns" flag: IP address is not correctly formatted: nobody'],
    [['--dns-search', 'a b'], 'a b is not a valid domain'],
    [['--add-host', 'a'], 'bad format for add-host: "a"'],
    [['--add-host', 'a:b'], 'invalid IP address in add-host: "b"'],
  ])('%j is refused', (args, message) => {
    expect(() => options(args)).toThrow(message);
  });
});

describe('rights and devices', () => {
  it.each<[string[], Partial<CreateOptions>]>([
    [
      ['--cap-add', 'net_admin', '--cap-add=CAP_SYS_TIME', '--cap-drop', 'all'],
      { capAdd: ['CAP_NET_ADMIN', 'CAP_SYS_TIME'], capDrop: ['ALL'] },
    ],
    [['--security-opt', 'no-new-privileges'], { security: { noNewPrivileges: true, unmask: [] } }],
    [['--security-opt', 'no-new-privileges:false'], { security: { noNewPrivileges: false, unmask: [] } }],
    [['--security-opt', 'seccomp=unconfined'], { security: { noNewPrivileges: false, seccomp: 'unconfined', unmask: [] } }],
    [
      ['--security-opt', 'seccomp=FOLDER/profile.json'],
      { security: { noNewPrivileges: false, seccomp: '{ "defaultAction": "SCMP_ACT_ALLOW" }', unmask: [] } },
    ],
    [['--security-opt=systempaths=unconfined'], { security: { noNewPrivileges: false, unmask: ['ALL'] } }],
    [['--security-opt=unmask=/proc/a:/sys/b'], { security: { noNewPrivileges: false, unmask: ['/proc/a', '/sys/b'] } }],
    [
      ['--security-opt=label=disable', '--security-opt', 'apparmor:unconfined'],
      { security: { noNewPrivileges: false, unmask: [] } },
    ],
    [
      ['--sysctl', 'net.ipv4.ip_forward=1', '--sysctl=kernel.shmmax=9'],
      { sysctls: { 'net.ipv4.ip_forward': '1', 'kernel.shmmax': '9' } },
    ],
    [['--device', '/dev/null'], { devices: [{ host: '/dev/null', path: '/dev/null', access: 'rwm' }] }],
    [['--device', '/dev/null:r'], { devices: [{ host: '/dev/null', path: '/dev/null', access: 'r' }] }],
    [['--device', '/dev/null:/dev/x:rw'], { devices: [{ host: '/dev/null', path: '/dev/x', access: 'rw' }] }],
    [['--device', '/dev/nul*'], { devices: [{ host: '/dev/null', path: '/dev/null', access: 'rwm' }] }],
    [['--device', 'vendor.com/net=nic0'], { devices: [{ cdi: 'vendor.com/net=nic0' }] }],
    [['--gpus', 'all'], { devices: [{ cdi: 'nvidia.com/gpu=all' }] }],
    [['--gpus', '2'], { devices: [{ cdi: 'nvidia.com/gpu=0' }, { cdi: 'nvidia.com/gpu=1' }] }],
    [['--gpus', '"device=0,GPU-1"'], { devices: [{ cdi: 'nvidia.com/gpu=0' }, { cdi: 'nvidia.com/gpu=GPU-1' }] }],
    [['--gpus', 'driver=amd,count=1'], { devices: [{ cdi: 'amd.com/gpu=0' }] }],
    [['--device-cgroup-rule', 'c 10:* rw'], { deviceRules: [{ allow: true, type: 'c', major: 10, access: 'rw' }] }],
  ])('%j', (args, expected) => {
    expect(options(args)).toMatchObject(expected);
    expect(told).toEqual([]);
  });

  it('labels and profiles of security modules have no effect, which is said', () => {
    options(['--security-opt', 'label=type:x', '--security-opt=apparmor=y', '--log-opt', 'tag=z']);
    expect(told).toEqual([
      '--security-opt label=type:x has no effect: containers have no SELinux labels here',
      '--security-opt apparmor=y has no effect: containers have no AppArmor profile here',
      '--log-opt tag has no effect: logs are rotated by max-size and max-file',
    ]);
  });

  it.each([
    [['--cap-add', 'NET_ADMIM'], 'invalid CapAdd: unknown capability: "CAP_NET_ADMIM"'],
    [['--security-opt', 'frob'], 'invalid --security-opt: "frob"'],
    [['--security-opt', 'seccomp=/no/such'], 'opening seccomp profile (/no/such) failed'],
    [['--security-opt', 'seccomp=FOLDER/env'], 'compacting json for seccomp profile'],
    [['--sysctl', 'kernel.hostname=x'], "sysctl 'kernel.hostname=x' is not allowed"],
    [
      ['--sysctl', 'net.ipv4.ip_forward=1', '--network=host'],
      'sysctl "net.ipv4.ip_forward" not allowed in host network namespace',
    ],
    [['--device', '/dev/null:/dev/x:rx'], 'bad mode specified: rx'],
    [['--device', 'null'], 'null is not an absolute path'],
    [['--device', '/dev/nul*:/dev/x'], "device with * suffix can't have dst"],
    [['--device-cgroup-rule', 'c 10 rw'], "invalid device cgroup format 'c 10 rw'"],
    [['--gpus', 'frob=1'], "unexpected key 'frob' in 'frob=1'"],
    [['--pid', 'frob'], '--pid: invalid PID mode'],
    [['--ipc', 'frob'], 'invalid IPC mode: frob'],
    [['--uts', 'frob'], '--uts: invalid UTS mode'],
    [['--userns', 'frob'], '--userns: invalid USER mode'],
    [['--uts=host', '-h', 'x'], 'conflicting options: hostname and the UTS mode'],
  ])('%j is refused', (args, message) => {
    expect(() => options(args)).toThrow(message);
  });
});

describe('limits', () => {
  it.each<[string[], CreateOptions['limits']]>([
    [[], {}],
    [['-m', '0', '--cpus=0', '--pids-limit', '0', '--memory-swappiness=-1'], {}],
    [
      ['-m', '64m', '--memory-swap=-1', '--memory-reservation', '32m', '--memory-swappiness=0', '--oom-kill-disable'],
      { memory: { limit: 64 << 20, swap: -1, reservation: 32 << 20, disableOOMKiller: true } },
    ],
    [
      ['--cpus', '1.5', '-c', '512', '--cpuset-cpus=0', '--cpuset-mems', '0', '--cpu-rt-period=1000', '--cpu-rt-runtime', '500'],
      { cpu: { shares: 512, quota: 150_000, period: 100_000, cpus: '0', mems: '0', realtimePeriod: 1000, realtimeRuntime: 500 } },
    ],
    [['--pids-limit=-1', '--blkio-weight', '300'], { pids: { limit: -1 }, blockIO: { weight: 300 } }],
  ])('%j', (args, expected) => {
    expect(options(args).limits).toEqual(expected);
  });

  it.each([
    [['-m', '4m'], 'minimum memory limit allowed is 6MB'],
    [['--memory-swap', '64m'], 'you should always set the Memory limit when using Memoryswap limit'],
    [['-m', '64m', '--memory-swap', '32m'], 'minimum memoryswap limit should be larger than memory limit'],
    [['-m', '64m', '--memory-reservation', '128m'], 'minimum memory limit can not be less than memory reservation limit'],
    [['--memory-swappiness', '101'], 'invalid value: 101. Valid memory swappiness range is 0-100'],
    [['--blkio-weight', '5'], 'range of blkio weight is from 10 to 1000'],
    [['--cpu-period', '5'], 'CPU cfs period can not be less than 1ms'],
    [['--cpu-quota', '5'], 'CPU cfs quota can not be less than 1ms'],
    [['--device-read-bps', '/dev/null:1m'], '/dev/null is no block device'],
    [['--device-write-iops', 'sda'], 'bad format for device path: sda'],
    [['--oom-score-adj', '1001'], 'invalid value 1001, range for oom score adj is [-1000, 1000]'],
  ])('%j is refused', (args, message) => {
    expect(() => options(args)).toThrow(message);
  });
});

describe('health', () => {
  it.each<[string[], CreateOptions['health']]>([
    [[], undefined],
    [['--no-healthcheck'], 'none'],
    [['--health-cmd', 'true'], { command: 'true' }],
    [
      [
        '--health-interval=1m30s',
        '--health-timeout',
        '5s',
        '--health-retries=3',
        '--health-start-period=1s',
        '--health-start-interval=100ms',
      ],
      { interval: 90e9, timeout: 5e9, retries: 3, startPeriod: 1e9, startInterval: 1e8 },
    ],
    [['--health-interval=0s'], undefined],
  ])('%j', (args, expected) => {
    expect(options(args).health).toEqual(expected);
  });

  it.each([
    [['--no-healthcheck', '--health-cmd', 'x'], '--no-healthcheck conflicts with --health-* options'],
    [['--health-interval', '-1s'], '--health-interval cannot be negative'],
    [['--health-interval', '1us'], 'Interval in Healthcheck cannot be less than 1ms'],
    [['--health-interval', 'soon'], 'invalid argument "soon" for "--health-interval" flag: time: invalid duration "soon"'],
    [['--health-retries', '-1'], '--health-retries cannot be negative'],
  ])('%j is refused', (args, message) => {
    expect(() => options(args)).toThrow(message);
  });
});

describe('what docker refuses', () => {
  it.each([
    [['--rm', '--restart=always'], 'conflicting options: cannot specify both --restart and --rm'],
    [['--restart', 'sometimes'], "invalid restart policy: unknown policy 'sometimes'"],
    [['--restart', 'always:3'], "invalid restart policy: maximum retry count can only be used with 'on-failure'"],
    [['--restart', 'on-failure:x'], 'invalid restart policy format: maximum retry count must be an integer'],
    [['--restart', ':3'], 'invalid restart policy format: no policy provided before colon'],
    [['--stop-signal', 'FROB'], 'invalid signal: FROB'],
    [['--log-driver', 'syslog'], "logger: no log driver named 'syslog' is registered"],
    [['--log-driver=none', '--log-opt', 'max-size=1m'], 'invalid logging opts for driver none'],
    [['--log-opt', 'frob=1'], "unknown log opt 'frob' for json-file log driver"],
    [['--log-opt', 'max-file=0'], 'max-file cannot be less than 1'],
    [['-w', 'here'], "the working directory 'here' is invalid, it needs to be an absolute path"],
    [['-e', '=x'], 'invalid argument "=x" for "-e, --env" flag: invalid environment variable: =x'],
    [['-l', '=x'], "invalid label '=x': empty name"],
    [['--env-file', 'FOLDER/bad'], 'bad:1: the name of an environment variable is empty or has a space in it'],
    [['--pull', 'perhaps'], `invalid pull option: 'perhaps': must be one of "always", "missing" or "never"`],
    [['--link', 'db'], 'links are not supported'],
    [['--volume-driver', 'nfs'], 'there is no volume driver "nfs"'],
    [['--storage-opt', 'size=1g'], 'the store has no options for one container'],
    [['--isolation', 'hyperv'], 'invalid isolation: hyperv'],
    [['--ip6', 'fd00::1'], 'networks have no IPv6 addresses that can be asked for'],
  ])('%j', (args, message) => {
    expect(() => options(args)).toThrow(message);
  });
});

it('streams to attach', () => {
  expect(attachedStreams([], false)).toEqual(['stdout', 'stderr']);
  expect(attachedStreams([], true)).toEqual(['stdin', 'stdout', 'stderr']);
  expect(attachedStreams(['STDOUT', 'stdin'], false)).toEqual(['stdout', 'stdin']);
  expect(() => attachedStreams(['out'], false)).toThrow('valid streams are STDIN, STDOUT and STDERR');
});
