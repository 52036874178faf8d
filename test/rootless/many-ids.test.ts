// An account with further ids, by newuidmap and newgidmap: whose files are on disk, and what only root could do.
import { statSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { buildImage } from '../support/built-image.ts';
import { makeContext } from '../support/contexts.ts';
import { asOwner } from '../support/own-files.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

const uid = process.getuid?.() as number;

test('root in a container is the account, others are its further ids', async () => {
  const built = await buildImage(
    'FROM busybox\nRUN cat /proc/self/uid_map > /map && touch /a && chown 33:100 /a && su -s /bin/id nobody > /id',
  );
  const [own, others] = (built.text('map') as string).split('\n').map((line) => line.trim().split(/ +/).map(Number));
  expect(own).toEqual([0, uid, 1]);
  expect(others).toEqual([1, expect.any(Number), 65536]);
  expect(built.stat('a')).toBe('644 33:100');
  expect(built.text('id')).toContain('uid=65534(nobody)');
  expect(await tbuildOk(['info'])).toMatch(/^Ids: +65537 uids and 65537 gids of this account$/m);
});

test('a directory of the host is written to as the account', async () => {
  const folder = makeContext({ file: 'x' });
  await tbuildOk([
    'run',
    '-v',
    `${folder}:/v`,
    'busybox',
    'sh',
    '-c',
    'stat -c %u /v/file; echo y > /v/made; mkdir /v/others && chown 5 /v/others',
  ]);
  expect(statSync(path.join(folder, 'made')).uid).toBe(uid);
  expect(statSync(path.join(folder, 'others')).uid).toBeGreaterThan(uid);
  asOwner('rm', ['-r', path.join(folder, 'others')]);
});

test('a file that only another id may read is read', async () => {
  const built = await buildImage(
    'FROM busybox AS a\nRUN echo secret > /f && chown 7 /f && chmod 600 /f\nFROM busybox\nCOPY --from=a /f /g',
  );
  expect([built.text('g'), built.stat('g')]).toEqual(['secret', '600 7:0']);
});

test('limits say what they take', async () => {
  const { code, stderr } = await tbuild(['run', '--rm', '--memory', '64m', 'busybox', 'true']);
  expect(stderr).toContain('limits take root, or a cgroup that is delegated to this account');
  expect(code).toBe(125);
});

test('insecure is every right in its own user namespace, and none on the host', async () => {
  const store = freshStore();
  const dockerfile =
    'FROM busybox\nRUN --security=insecure grep CapEff /proc/self/status > /caps; mknod /n c 1 3 2> /said; mount -t tmpfs t /mnt 2>> /said; true';
  const built = await buildImage(dockerfile, { store, args: ['--allow', 'security.insecure'] });
  expect(built.text('caps')).toMatch(/^CapEff:\t0*1f{10}$/);
  expect(built.text('said')).toContain('Operation not permitted');
});
