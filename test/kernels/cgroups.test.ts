// Limits, and the life of containers, where cgroups are of version 2 alone, as on every distribution of today, and where they are of version 1: the
// machine that runs the other tests has one of them. Nothing may be skipped for want of a controller.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { Guest } from './guest.ts';
import { bootGuest, runRustTests } from './tested-guest.ts';

describe.skipIf(inject('noGuests') !== undefined)('cgroups of version 2, on the kernel of Debian 12', () => {
  let guest: Guest;
  beforeAll(async () => {
    guest = await bootGuest('bookworm', 'v2');
  });
  afterAll(() => guest?.end());

  test('are there with every controller', async () => {
    const { output } = await guest.run('cat /sys/fs/cgroup/session/cgroup.controllers /proc/self/cgroup');
    expect(output).toBe('cpuset cpu io memory hugetlb pids rdma misc\n0::/session\n');
  });

  test.for(['cgroup2', 'lifecycle', 'tbuild_runtime'])('the Rust tests: %s', async (name) => {
    expect(await runRustTests(guest, name)).toEqual([]);
  });

  test('the Rust tests: limits, but for the one that is about version 1', async () => {
    expect(await runRustTests(guest, 'limits')).toEqual(["skipped: this machine's cgroups lack version 1"]);
  });

  test('nothing is left of any container', async () => {
    const { output } = await guest.run('find /sys/fs/cgroup -mindepth 1 -type d; ls /run/tbuild-runner 2>/dev/null; losetup -a');
    expect(output).toBe('/sys/fs/cgroup/session\n');
  });
});

describe.skipIf(inject('noGuests') !== undefined)('cgroups of version 1, on the kernel of Debian 12', () => {
  let guest: Guest;
  beforeAll(async () => {
    guest = await bootGuest('bookworm', 'v1');
  });
  afterAll(() => guest?.end());

  test('the Rust tests: limits', async () => {
    expect(await runRustTests(guest, 'limits')).toEqual([]);
  });

  test('nothing is left of any container', async () => {
    const { output } = await guest.run('find /sys/fs/cgroup -mindepth 2 -type d');
    expect(output).toBe('');
  });
});
