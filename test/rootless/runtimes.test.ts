// crun and runc in the place of our own runtime, by an account: in its user namespace, without a cgroup, on each kind of network.
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { buildImage } from '../support/built-image.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

describe.each(['crun', 'runc'])('%s', (runtime) => {
  test('RUN: owners, users and networks as with our own, and no cgroup of the host', async () => {
    const store = freshStore();
    const dockerfile = [
      'FROM busybox',
      'RUN touch /a && chown 33:100 /a && su -s /bin/id nobody > /id; ip -o link > /links; ls /sys/fs/cgroup > /cgroups',
      'RUN --network=none ls /sys/class/net > /none',
    ].join('\n');
    const built = await buildImage(dockerfile, { store, args: ['--runtime', runtime] });
    expect(built.stat('a')).toBe('644 33:100');
    expect(built.text('id')).toContain('uid=65534(nobody)');
    expect([built.text('cgroups'), built.text('none')]).toEqual(['', 'lo']);
    expect(built.text('links')?.match(/^\d+: \w+/gm)).toHaveLength(2);
    expect((await buildImage(dockerfile, { store })).ran).toEqual([]);
  });

  test('run: on the host’s network, with its exit status; a command that is missing; limits that nobody can give', async () => {
    const run = (...args: string[]) => tbuild(['run', '--rm', '--runtime', runtime, ...args]);
    const links = await tbuildOk(['run', '--rm', '--network=host', '--runtime', runtime, 'busybox', 'ip', '-o', 'link']);
    for (const name of readdirSync('/sys/class/net')) expect(links).toContain(`: ${name}`);
    expect(await run('busybox', 'sh', '-c', 'exit 7')).toEqual({ code: 7, stdout: '', stderr: '' });
    expect((await run('busybox', 'nope')).code).toBe(127);
    const limited = await run('--memory', '64m', 'busybox', 'true');
    expect([limited.code, limited.stderr]).toEqual([
      125,
      expect.stringContaining('limits take root, or a cgroup that is delegated'),
    ]);
  });
});
