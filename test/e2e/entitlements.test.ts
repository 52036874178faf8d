// What a Dockerfile gets only when whoever builds allows it: the host's network, no sandbox, devices as CDI describes them.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { type Built, build } from '../support/events.ts';
import { errorOf, outputOf } from '../support/output.ts';
import { freshStore } from '../support/stores.ts';

let store: string;
let specs: string;
/** What a hook was told. */
let hookSaid: string;
let shared: string;
beforeAll(() => {
  store = freshStore();
  shared = makeContext({ file: 'of the host\n' });
  hookSaid = path.join(makeContext({}), 'state.json');
  specs = makeContext({
    'vendor1.json': JSON.stringify({
      cdiVersion: '0.6.0',
      kind: 'vendor1.com/device',
      containerEdits: { env: ['ALL=1'] },
      devices: [
        {
          name: 'zero',
          containerEdits: {
            env: ['ZERO=1'],
            deviceNodes: [
              { path: '/dev/nothing', hostPath: '/dev/zero' },
              { path: '/srv/numbers', type: 'c', major: 1, minor: 5, fileMode: 0o640, uid: 3, gid: 4 },
            ],
            mounts: [{ hostPath: shared, containerPath: '/opt/shared', options: ['ro', 'nosuid', 'bind'] }],
            additionalGids: [77],
          },
        },
        {
          name: 'fuse',
          containerEdits: { env: ['FUSE=1'], deviceNodes: [{ path: '/dev/fuse' }] },
          annotations: { 'org.mobyproject.buildkit.device.class': 'files' },
        },
        {
          name: 'open',
          containerEdits: { env: ['OPEN=1'] },
          annotations: { 'org.mobyproject.buildkit.device.class': 'files', 'org.mobyproject.buildkit.device.autoallow': true },
        },
      ],
    }),
    'hooks.json': JSON.stringify({
      cdiVersion: '0.6.0',
      kind: 'vendor2.com/gpu',
      devices: [
        {
          name: '0',
          containerEdits: {
            hooks: [
              { hookName: 'createRuntime', path: '/bin/sh', args: ['sh', '-c', 'cat >"$STATE"'], env: [`STATE=${hookSaid}`] },
              { hookName: 'startContainer', path: '/bin/touch', args: ['touch', '/hooked'] },
            ],
          },
        },
        { name: 'bad', containerEdits: { hooks: [{ hookName: 'createRuntime', path: '/bin/false' }] } },
        { name: 'net', containerEdits: { netDevices: [{ hostInterfaceName: 'eth0' }] } },
      ],
    }),
    'missing.json': JSON.stringify({
      cdiVersion: '0.6.0',
      kind: 'vendor3.com/gpu',
      devices: [{ name: '0', containerEdits: { deviceNodes: [{ path: '/dev/there-is-none' }] } }],
    }),
    'wrong.json': '{"kind": "vendor4.com/gpu", "devices": {}}',
    'other.yaml': `cdiVersion: "0.6.0"
kind: vendor5.com/gpu
devices:
  - name: all
    containerEdits:
      env: [YAML=read]
`,
    'broken.yaml': 'kind: vendor7.com/gpu\ndevices: [\n',
    'no-spec.txt': 'nothing',
  });
});

const run = (instructions: string, ...flags: string[]): Promise<Built> =>
  build([...flags, makeContext({ Dockerfile: `FROM busybox\n${instructions}\n` })], { store, env: { TBUILD_CDI_DIRS: specs } });

describe('--allow', () => {
  it.each([
    ['--network=host', 'network.host', 'network.host is not allowed'],
    ['--security=insecure', 'security.insecure', 'security.insecure is not allowed'],
    ['--device=vendor1.com/device=zero', 'device', 'device vendor1.com/device=zero is requested by the build but not allowed'],
    [
      '--device=vendor1.com/device=*',
      'device',
      'devices vendor1.com/device=fuse, vendor1.com/device=zero are requested by the build but not allowed',
    ],
  ])('is what RUN %s needs', async (flag, entitlement, message) => {
    const instruction = `RUN ${flag} true`;
    const refused = await run(`RUN touch /before\n${instruction}`);
    expect(errorOf(refused)).toMatchObject({ code: 'usage/not-allowed', message, where: { range: { startLine: 3 } } });
    expect(refused.ran).toEqual([]);
    const other = entitlement === 'device' ? 'network.host' : 'device';
    expect(errorOf(await run(instruction, '--allow', other))?.code).toBe('usage/not-allowed');
    const allowed = await run(instruction, '--allow', entitlement);
    expect([allowed.code, allowed.ran]).toEqual([0, [instruction]]);
    // What is in the cache is asked for all the same.
    expect(errorOf(await run(instruction))?.code).toBe('usage/not-allowed');
  });

  it('is not needed for the host’s network by a build that is on it', async () => {
    expect((await run('RUN --network=host true', '--network=host')).code).toBe(0);
  });

  it('is not asked for by stages that are not built', async () => {
    expect((await run('RUN --security=insecure true\nFROM busybox\nRUN true')).code).toBe(0);
  });
});

describe('RUN --security=insecure', () => {
  it('has every capability, no filter, nothing hidden, and the machine’s devices', async () => {
    const command =
      'grep -E "^(CapEff|Seccomp):" /proc/self/status; mkdir /m && mount -t tmpfs x /m && echo mounted; [ -w /proc/sys/kernel ] && echo writable; grep -c " /proc/[a-z]" /proc/mounts; ls /dev | grep -E "^(fuse|kmsg)$"';
    const host = ['fuse', 'kmsg'].filter((name) => existsSync(`/dev/${name}`));
    const plain = outputOf(await run(`RUN ${command}; true`), 'RUN').split('\n');
    const insecure = outputOf(await run(`RUN --security=insecure ${command}; true`, '--allow=security.insecure'), 'RUN').split(
      '\n',
    );
    const capabilities = (lines: string[]) => BigInt(`0x${/^CapEff:\s+(\w+)/m.exec(lines.join('\n'))?.[1]}`);
    expect(capabilities(plain)).toBe(0xa80425fbn);
    expect(capabilities(insecure) & (1n << 21n)).not.toBe(0n);
    expect(plain).toContain('Seccomp:\t2');
    expect(insecure).toEqual(expect.arrayContaining(['Seccomp:\t0', 'mounted', 'writable', '0', ...host]));
    expect(plain).not.toContain('mounted');
  });

  it('is another step than the same command in the sandbox', async () => {
    await run('RUN : both');
    expect((await run('RUN --security=insecure : both', '--allow=security.insecure')).ran).toHaveLength(1);
  });
});

describe('RUN --device', () => {
  it('gives nodes, variables, mounts and groups, of which nothing stays', async () => {
    const instructions = [
      'RUN --device=vendor1.com/device=zero echo $ALL$ZERO; head -c 2 /dev/nothing | od -An -tx1; stat -c "%n %a %u:%g %t:%T" /dev/nothing /srv/numbers; cat /opt/shared/file; touch /opt/shared/x 2>&1; id -G',
      'RUN ls -d /opt /srv 2>&1; env | grep ZERO; true # after',
    ];
    const built = await run(instructions.join('\n'), '--allow=device');
    expect(built.code, built.stderr).toBe(0);
    expect(outputOf(built, 'RUN --device').split('\n')).toEqual([
      '11',
      ' 00 00',
      '/dev/nothing 666 0:0 1:5',
      '/srv/numbers 640 3:4 1:5',
      'of the host',
      'touch: /opt/shared/x: Read-only file system',
      '0 77',
    ]);
    expect(outputOf(built, '# after')).toBe('ls: /opt: No such file or directory\nls: /srv: No such file or directory');
  });

  it('makes a node the user’s', async () => {
    const built = await run('USER 12:34\nRUN --device=vendor1.com/device=zero stat -c %u:%g /dev/nothing', '--allow=device');
    expect(outputOf(built, 'RUN')).toBe('12:34');
  });

  it.each([
    ['a kind: its first', 'vendor1.com/device', 'ALL=1 FUSE=1'],
    ['all of a kind', 'vendor1.com/device=*', 'ALL=1 FUSE=1 OPEN=1 ZERO=1'],
    ['a class', 'files', 'ALL=1 FUSE=1 OPEN=1'],
    ['one that is not there and not required', 'vendor1.com/device=none', ''],
    ['a name that is nothing here', 'nothing', ''],
    ['a name by its key', 'name=vendor1.com/device=open,required', 'ALL=1 OPEN=1'],
  ])('names %s', async (_, name, expected) => {
    const built = await run(`RUN --device=${name} echo $(env | grep -E "^[A-Z]+=1$" | grep -v SHLVL | sort)`, '--allow=device');
    expect(built.code, built.stderr).toBe(0);
    expect(outputOf(built, 'RUN')).toBe(expected);
  });

  it('may be allowed one by one, by an alias, or by the device itself', async () => {
    const use = (name: string, ...flags: string[]) => run(`RUN --device=${name} env | grep =1 # ${flags}`, ...flags);
    expect((await use('vendor1.com/device=fuse', '--allow=device=vendor1.com/device=fuse')).code).toBe(0);
    expect(errorOf(await use('vendor1.com/device=zero', '--allow=device=vendor1.com/device=fuse'))?.code).toBe(
      'usage/not-allowed',
    );
    expect((await use('vendor1.com/device=zero', '--allow=device=vendor1.com/device=*')).code).toBe(0);
    const aliased = await use('gpu', '--allow=device=vendor1.com/device=fuse,alias=gpu');
    expect(outputOf(aliased, 'RUN')).toContain('FUSE=1');
    expect((await use('vendor1.com/device=open')).code).toBe(0);
  });

  it.each([
    [
      'vendor1.com/device=none,required',
      'run/device',
      'required device "vendor1.com/device=none" is not registered',
      'was not read',
    ],
    ['vendor2.com/gpu=net', 'unsupported/device', 'vendor2.com/gpu=net asks for a network device', 'are'],
    ['vendor3.com/gpu', 'run/device', 'needs the node /dev/there-is-none', ''],
    [
      'vendor4.com/gpu',
      'run/device',
      'device "vendor4.com/gpu" is not registered',
      'wrong.json may describe it, and was not read: it is no CDI specification',
    ],
    [
      'vendor7.com/gpu',
      'run/device',
      'device "vendor7.com/gpu" is not registered',
      'broken.yaml may describe it, and was not read: Flow sequence in block collection',
    ],
  ])('fails for %s', async (name, code, message, hint) => {
    const failure = errorOf(await run(`RUN --device=${name} true`, '--allow=device'));
    expect(failure).toMatchObject({ code, message: expect.stringContaining(message) });
    expect(failure?.hint ?? '').toContain(hint);
  });

  it('reads specifications in YAML', async () => {
    const built = await run('RUN --device=vendor5.com/gpu=all echo "yaml is $YAML"', '--allow=device');
    expect(outputOf(built, 'RUN')).toContain('yaml is read');
  });

  it('executes the hooks of a device, and fails with one that fails', async () => {
    const built = await run('RUN --device=vendor2.com/gpu=0 test -f /hooked', '--allow=device');
    expect(built.code).toBe(0);
    expect(JSON.parse(readFileSync(hookSaid, 'utf8'))).toMatchObject({ status: 'creating', pid: expect.any(Number) });
    const failure = errorOf(await run('RUN --device=vendor2.com/gpu=bad true', '--allow=device'));
    expect(failure?.message).toContain('the hook /bin/false failed');
  });

  it('counts by the devices that are found, not by what they are', async () => {
    const later = path.join(specs, 'later.json');
    const spec = (env: string) =>
      JSON.stringify({ cdiVersion: '0.6.0', kind: 'vendor6.com/d', devices: [{ name: 'a', containerEdits: { env: [env] } }] });
    const ran = async () => (await run('RUN --device=vendor6.com/d echo $V # later', '--allow=device')).ran.length;
    expect(await ran()).toBe(1);
    writeFileSync(later, spec('V=1'));
    expect(await ran()).toBe(1);
    writeFileSync(later, spec('V=2'));
    expect(await ran()).toBe(0);
  });
});
