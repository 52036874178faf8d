// An account without further ids: what it can build, what its images hold, and what it is told of what cannot work.
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { buildError, buildImage } from '../support/built-image.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

const account = /ids: only this account's own \(\/etc\/subuid and \/etc\/subgid give [\w-]+ no further ids\)/;

test('is told so once in a build that runs something, and by info', async () => {
  const store = freshStore();
  const { stderr } = await buildImage('FROM busybox\nRUN id\nRUN id -g', { store });
  expect(stderr.match(new RegExp(account, 'g'))).toHaveLength(1);
  const cached = await buildImage('FROM busybox\nRUN id\nRUN id -g', { store });
  expect(cached.stderr).not.toMatch(account);
  expect(await tbuildOk(['info'], { store })).toMatch(/^Ids: +only this account's own/m);
});

test('owners that the disk cannot keep are in the image', async () => {
  const built = await buildImage(
    [
      'FROM busybox',
      'COPY --chown=33:100 file /copied',
      'ADD --chown=1:2 --chmod=4755 file /added',
      'RUN stat -c "%u %a" /copied /added > /seen && touch /run',
      'COPY --from=debian:12 /usr/bin/wall /sbin/unix_chkpwd /from/',
    ].join('\n'),
    { context: { file: 'x' } },
  );
  expect([built.stat('copied'), built.stat('added'), built.stat('run')]).toEqual(['644 33:100', '4755 1:2', '644 0:0']);
  expect(built.stat('from/unix_chkpwd')).toBe('2755 0:42');
  // A container sees them as root's.
  expect(built.text('seen')).toBe('0 644\n0 4755');
});

test('an image keeps its digest through a store that cannot keep its owners', async () => {
  const [from, to] = [freshStore(), freshStore()];
  const archive = path.join(from, 'tmp/debian.tar');
  await tbuildOk(['save', 'debian:12', '-o', archive], { store: from });
  const id = JSON.parse(await tbuildOk(['inspect', 'debian:12'], { store: from }))[0].Id;
  await tbuildOk(['rmi', '--force', 'debian:12'], { store: to });
  await tbuildOk(['load', '-i', archive], { store: to });
  expect(JSON.parse(await tbuildOk(['inspect', 'debian:12'], { store: to }))[0].Id).toBe(id);
  expect((await tbuild(['fsck'], { store: to })).stdout).toContain('no problems');
});

test('other users and chown to them fail, and say why', async () => {
  expect(await buildError('FROM busybox\nUSER 1000\nRUN id')).toMatch(
    /error: cannot become the user 1000: the container's user namespace has no such id.*hint: give the account ids: usermod --add-subuids/s,
  );
  expect(await buildError('FROM busybox\nRUN touch /x && chown 1 /x')).toContain('chown: /x: Invalid argument');
  const { code, stderr } = await tbuild(['run', '--rm', '--user', '5:5', 'busybox', 'id']);
  expect([code, stderr]).toEqual([125, expect.stringContaining('cannot become the group 5')]);
});

test('what it removes is gone', async () => {
  const store = freshStore();
  await tbuildOk(['-q', '-t', 'gone', '-'], { store, input: 'FROM busybox\nRUN mkdir -p /a/b && chmod 0 /a/b && echo x > /a/c' });
  await tbuildOk(['rmi', 'gone'], { store });
  await tbuildOk(['info'], { store });
  expect(readdirSync(path.join(store, 'tmp')).filter((name) => name !== '.gate')).toEqual([]);
});
