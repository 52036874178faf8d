// An account that is not root, with further ids, on each of Debian's kernels: a build and a container of it; limits in a cgroup of version 2 that
// is delegated to it. Where the kernel has no overlays for it, the error that says so.
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { layouts } from './disk.ts';
import type { Answer, Guest } from './guest.ts';
import { type Suite, suites } from './prepare.ts';
import { bootGuest } from './tested-guest.ts';

/** For accounts: since 5.11 (and Debian's 5.10 has them off). */
const hasOverlays: Readonly<Record<Suite, boolean>> = { bullseye: false, bookworm: true, trixie: true };

const tbuild = path.join(import.meta.dirname, '../../bin/tbuild');
const dockerfile = `FROM busybox
RUN mkdir -p /made/deep && echo made >/made/file && chown 5:6 /made/file
RUN mv /made /moved && cat /proc/self/uid_map >/map
`;

describe.skipIf(inject('noGuests') !== undefined).each(suites)('an account on the kernel of Debian %s', (suite) => {
  let guest: Guest;
  beforeAll(async () => {
    guest = await bootGuest(suite, 'v2');
    await ok(
      [
        'useradd --create-home ana && usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ana',
        'mkdir /sys/fs/cgroup/ana /sys/fs/cgroup/ana/session',
        'chown ana /sys/fs/cgroup/ana /sys/fs/cgroup/ana/session /sys/fs/cgroup/ana/cgroup.procs /sys/fs/cgroup/ana/cgroup.subtree_control',
        'chown ana /sys/fs/cgroup/ana/session/cgroup.procs',
        `mkdir /context && cat >/context/Dockerfile <<'END'\n${dockerfile}END`,
      ].join('\n'),
    );
  });
  afterAll(() => guest?.end());

  const ok = async (command: string) => {
    const { status, output } = await guest.run(command);
    expect(status, `${command}\n${output}\n${guest.console().slice(-2000)}`).toBe(0);
    return output;
  };
  /** In a session whose cgroup is delegated to the account. */
  const byAccount = (command: string): Promise<Answer> =>
    guest.run(
      `echo $$ >/sys/fs/cgroup/ana/session/cgroup.procs\ncat >/tmp/command <<'END'\n${command}\nEND\n` +
        'exec /usr/bin/setpriv --reuid ana --regid ana --clear-groups env -i HOME=/home/ana PATH="$PATH" sh /tmp/command',
    );
  const accountOk = async (command: string) => {
    const { status, output } = await byAccount(`cd /\n${command}`);
    expect(status, `${command}\n${output}\n${guest.console().slice(-2000)}`).toBe(0);
    return output;
  };

  if (!hasOverlays[suite]) {
    test('is told what the kernel lacks', async () => {
      const { status, output } = await byAccount(`cd / && ${tbuild} info`);
      expect(output).toContain("directory: cannot mount the root's overlay: operation not permitted");
      expect(output).toContain('hint: let accounts mount in user namespaces (Linux 5.11;');
      expect(status).toBe(9);
    });
    return;
  }

  test('builds, with the owners that it has ids for, and runs', async () => {
    await accountOk(`${tbuild} load -q --oci-layout ${layouts}/busybox -t busybox`);
    expect(await accountOk(`${tbuild} info`)).toMatch(/^Layer driver: directory$/m);
    await accountOk(`${tbuild} -q -t app /context`);
    expect((await accountOk(`${tbuild} --progress=plain -t app /context`)).match(/CACHED/g)).toHaveLength(2);
    const seen = await accountOk(`${tbuild} run --network=none app sh -c 'stat -c "%u:%g" /moved/file; cat /map'`);
    expect(seen.replace(/ +/g, ' ')).toBe('5:6\n 0 1000 1\n 1 100000 65536\n');
    expect(await accountOk(`${tbuild} fsck`)).toContain('no problems');
  });

  test('has limits in the cgroup that is delegated to it, and is told so elsewhere', async () => {
    const eat = 'dd if=/dev/zero of=/dev/null bs=100M count=1';
    const run = (flags: string) => byAccount(`cd / && ${tbuild} run --network=none --memory 32m ${flags} busybox ${eat}`);
    expect((await run('--cgroup-parent /ana')).status).toBe(137);
    const elsewhere = await run('');
    expect([elsewhere.status, elsewhere.output]).toEqual([
      125,
      expect.stringContaining('or a cgroup that is delegated to this account'),
    ]);
    expect(await ok('find /sys/fs/cgroup/ana -mindepth 2 -type d')).toBe('');
  });
});
