// What users do, on each of Debian's kernels: a build with RUN, a cached one, a container under a limit, once more with layers in directories; and
// the Rust tests of what differs from kernel to kernel. Prints the table that docs/kernels.md has.
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { layouts } from './disk.ts';
import type { Guest } from './guest.ts';
import { type Suite, suites } from './prepare.ts';
import { bootGuest, runRustTests } from './tested-guest.ts';

interface Gives {
  readonly kernel: string;
  /** As `tbuild info` names it. */
  readonly driver: string;
  readonly userNamespace: boolean;
  /** The Rust tests of what is done otherwise than on the kernels after it. */
  readonly rustTests: readonly string[];
}

const expected: Readonly<Record<Suite, Gives>> = {
  bullseye: { kernel: '5.10', driver: 'erofs through loop devices', userNamespace: false, rustTests: ['run'] },
  bookworm: { kernel: '6.1', driver: 'erofs through loop devices', userNamespace: false, rustTests: [] },
  trixie: { kernel: '6.12', driver: 'erofs', userNamespace: true, rustTests: ['userns'] },
};

const dockerfile = `FROM debian:12
COPY given /srv/
RUN cat /srv/given && rm /srv/given && mkdir -p /made/deep && echo made >/made/file && chown 5:6 /made/file
RUN mv /made /moved && cat /proc/self/uid_map >/map
`;
const tbuild = path.join(import.meta.dirname, '../../bin/tbuild');
/** Of the mapped root, as src/sandbox has it. */
const firstId = 2147483648;

describe.skipIf(inject('noGuests') !== undefined).each(suites)('on the kernel of Debian %s', (suite) => {
  const { rustTests, ...gives } = expected[suite];
  let guest: Guest;
  beforeAll(async () => {
    guest = await bootGuest(suite, 'v2');
    await ok(`mkdir /context && echo given >/context/given && cat >/context/Dockerfile <<'END'\n${dockerfile}END`);
    await load('/var/lib/tbuild');
  });
  afterAll(() => guest?.end());

  const ok = async (command: string) => {
    const { status, output } = await guest.run(command);
    expect(status, `${command}\n${output}\n${guest.console().slice(-2000)}`).toBe(0);
    return output;
  };
  const load = async (store: string) => {
    for (const [name, tag] of [
      ['busybox', 'busybox'],
      ['debian', 'debian:12'],
    ]) {
      await ok(`TBUILD_ROOT=${store} ${tbuild} load -q --oci-layout ${layouts}/${name} -t ${tag}`);
    }
  };

  test('info tells what it gives', async () => {
    const output = await ok(`${tbuild} info`);
    const row = (name: string) => new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(output)?.[1] ?? '';
    const hasUserNamespace = !output.includes("containers have the host's user namespace");
    console.log(
      `${row('Kernel').padEnd(22)} ${row('Layer driver').padEnd(28)} user namespaces: ${hasUserNamespace ? 'yes' : 'no'}\n${output.replace(/^[^ ].*\n/gm, '')}`,
    );
    expect({
      kernel: row('Kernel').split('.').slice(0, 2).join('.'),
      driver: row('Layer driver'),
      userNamespace: hasUserNamespace,
    }).toEqual(gives);
  });

  test('a build runs its commands, and is cached', async () => {
    expect(await ok(`${tbuild} --progress=plain -t app /context`)).toContain('given\n');
    expect((await ok(`${tbuild} --progress=plain -t app /context`)).match(/CACHED/g)).toHaveLength(3);
    const seen = await ok(
      `${tbuild} run app sh -c 'cat /moved/file /map; stat -c "%u %g" /moved/file; ls -d /srv/given /made; true'`,
    );
    const map = gives.userNamespace ? `0 ${firstId} ${firstId - 2}` : '0 0 4294967295';
    expect(seen.replace(/ +/g, ' ')).toMatch(new RegExp(`^made\\n ${map}\\n5 6\\n`));
    expect(seen.match(/No such file/g)).toHaveLength(2);
    expect(await ok(`${tbuild} fsck`)).toContain('no problems');
  });

  test('a container has the limits that it is given', async () => {
    const eat = 'dd if=/dev/zero of=/dev/null bs=100M count=1';
    expect((await guest.run(`${tbuild} run --memory 32m busybox ${eat}`)).status).toBe(137);
    const forks = await guest.run(`${tbuild} run --pids-limit 3 busybox sh -c 'sleep 9 & sleep 9 & sleep 9 & sleep 9'`);
    expect(forks.output).toContain("can't fork");
  });

  test('layers may be directories', async () => {
    const store = 'TBUILD_ROOT=/tmp/directories TBUILD_DRIVER=directory';
    await ok(`${store} ${tbuild} info`);
    await load('/tmp/directories');
    await ok(`${store} ${tbuild} -q -t app /context`);
    expect(await ok(`${store} ${tbuild} run app stat -c '%u %g' /moved/file`)).toBe('5 6\n');
  });

  test.for(rustTests)('the Rust tests: %s', async (name) => {
    const skipped = await runRustTests(guest, name);
    // The guest has no other runtimes.
    expect(skipped.filter((line) => !/^skipped beside (crun|runc): it is not installed$/.test(line))).toEqual([]);
  });

  test('nothing is left of any container', async () => {
    const left = await ok(
      "find /sys/fs/cgroup -mindepth 2 -type d; losetup -a; grep -c ' /var/lib/tbuild\\| /tmp/' /proc/mounts || :",
    );
    expect(left).toBe('0\n');
  });
});
