// RUN: mounts, networks, and what makes it run again. The names are the numbers and sentences of the list of behaviours (all.test.ts).

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { buildImage } from '../support/built-image.ts';
import { makeContext } from '../support/contexts.ts';

test("69. Secret/ssh/cache/tmpfs mount points that didn't exist are removed after RUN when empty; parent mtime restored.", async () => {
  const secret = path.join(makeContext({ s: 'hush' }), 's');
  const mounts = [
    'type=secret,id=s',
    'type=secret,id=s,target=/old/secret',
    'type=cache,target=/x/cache',
    'type=tmpfs,target=/x/y/tmp',
    'type=ssh,target=/agent',
  ];
  const flags = mounts.map((mount) => `--mount=${mount}`).join(' ');
  const old = 'RUN mkdir /old && touch -d @1000000000 /old';
  const { files, list } = await buildImage(
    `FROM busybox\n${old}\nRUN ${flags} cat /run/secrets/s /old/secret && touch /x/cache/f`,
    {
      args: ['--secret', `id=s,src=${secret}`],
    },
  );
  expect(list('/')).not.toEqual(expect.arrayContaining(['x']));
  for (const name of ['x', 'run/secrets', 'agent', 'old/secret']) expect(files.has(name), name).toBe(false);
  expect(files.get('old')?.mtime.getTime()).toBe(1e12);
});

test("70. `/etc/resolv.conf` and `/etc/hosts` edits by RUN aren't persisted.", async () => {
  const { files, text } = await buildImage(
    'FROM busybox\nRUN echo edited | tee -a /etc/hosts /etc/resolv.conf && cp /etc/hosts /saved\nRUN cat /etc/hosts > /later',
  );
  expect(text('/saved')).toContain('edited');
  expect(text('/later')).not.toContain('edited');
  for (const name of ['etc/hosts', 'etc/resolv.conf']) expect(files.get(name)?.content.toString() ?? '').not.toContain('edited');
});

test('71. Secret *content* changes and cache-mount content/ids never invalidate; secret *id* does.', async () => {
  const context = makeContext({ s: 'one' });
  const args = ['--secret', `id=s,src=${path.join(context, 's')}`, '--secret', `id=t,src=${path.join(context, 's')}`];
  const dockerfile = (secret: string, cache: string) =>
    `FROM busybox\nRUN --mount=type=secret,id=${secret},target=/s --mount=type=cache,id=${cache},target=/c echo x >> /c/71`;
  const builds = async (secret: string, cache: string) =>
    (await buildImage(dockerfile(secret, cache), { context, args })).ran.length;
  expect(await builds('s', 'c')).toBe(1);
  writeFileSync(path.join(context, 's'), 'two');
  expect(await builds('s', 'c')).toBe(0);
  expect(await builds('s', 'd')).toBe(0);
  expect(await builds('t', 'd')).toBe(1);
});

test("72. `--add-host` name counts in the key, its IP doesn't.", async () => {
  const context = makeContext({});
  const dockerfile = 'FROM busybox\nRUN grep far /etc/hosts > /f; echo 72';
  const withHost = (host: string) => buildImage(dockerfile, { context, args: ['--add-host', host] });
  const first = await withHost('far:10.0.0.1');
  expect(first.text('/f')).toMatch(/^10\.0\.0\.1\s+far$/);
  const other = await withHost('far:10.0.0.2');
  expect([other.ran, other.text('/f')]).toEqual([[], first.text('/f')]);
  expect((await withHost('farther:10.0.0.1')).ran).toHaveLength(1);
});

test("73. Proxy args don't bust cache unless `ARG HTTP_PROXY` is declared.", async () => {
  const build = async (declared: string, proxy: string) => {
    const args = ['--build-arg', `HTTP_PROXY=http://${proxy}`, '--build-arg', `no_proxy=${proxy}`];
    return buildImage(`FROM busybox\n${declared}RUN echo $HTTP_PROXY $http_proxy $NO_PROXY > /f`, { args });
  };
  const first = await build('', 'one');
  expect(first.text('/f')).toBe('http://one http://one one');
  expect(first.history.map(({ created_by }) => created_by).join()).not.toContain('http://one');
  expect(first.config.Env?.join()).not.toContain('http://one');
  expect((await build('', 'two')).ran).toEqual([]);
  expect((await build('ARG HTTP_PROXY\n', 'one')).ran).toHaveLength(1);
  expect((await build('ARG HTTP_PROXY\n', 'one')).ran).toEqual([]);
  expect((await build('ARG HTTP_PROXY\n', 'two')).ran).toHaveLength(1);
});

test('74. Multiple `--mount=type=cache` with same id in parallel stages obey sharing mode (locked serialises).', async () => {
  const stage = (name: string, sharing: string) =>
    `FROM busybox AS ${name}\nRUN --mount=type=cache,id=${sharing}-74,target=/c,sharing=${sharing} ` +
    `echo begin >> /c/log; for i in 1 2 3 4 5; do sleep 0.1; done; echo end >> /c/log; cp /c/log /${name}; : ${sharing}`;
  const dockerfile = (sharing: string) =>
    `${stage('a', sharing)}\n${stage('b', sharing)}\nFROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /`;
  const locked = await buildImage(dockerfile('locked'));
  expect([locked.text('/a'), locked.text('/b')].sort()).toEqual(['begin\nend', 'begin\nend\nbegin\nend']);
  const shared = await buildImage(dockerfile('shared'));
  expect([shared.text('/a'), shared.text('/b')]).toContainEqual(expect.stringMatching(/^begin\nbegin\n/));
});

test('75. `--network=none` still has loopback.', async () => {
  const { text } = await buildImage(
    'FROM busybox\nRUN --network=none ls /sys/class/net > /f && ping -c 1 127.0.0.1 > /dev/null && echo up >> /f',
  );
  expect(text('/f')).toBe('lo\nup');
});
