// `tbuild verify`: what makes the same again, and the first file of what does not.
import { beforeAll, expect, test } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

let store: string;
beforeAll(() => {
  store = freshStore();
});

test('a build whose RUNs make the same is said to, built before or not; it names no image', async () => {
  const context = makeContext({ Dockerfile: 'FROM busybox\nCOPY a /a\nRUN cp /a /b\nRUN mkdir /c && cp /b /c', a: 'a' });
  expect(await tbuildOk(['verify', '-t', 'sound', context], { store })).toBe('all 2 RUNs made the same again\n');
  expect(await tbuildOk(['verify', '-t', 'sound', context], { store })).toBe('all 2 RUNs made the same again\n');
  expect(await tbuildOk(['images'], { store })).not.toContain('sound');
});

test.each([
  ['random bytes', 'head -c 9 /dev/urandom > /etc/seed', '/etc/seed: content'],
  ['the time in a content', 'cat /proc/uptime > /stamp', '/stamp: content'],
  ['the time in a name', 'mkdir /out && touch /out/$(cut -d. -f2 /proc/uptime | tr -d " ")', /\/out\/\d+ is (new|gone)/],
])('%s is found', async (_, command, difference) => {
  const context = makeContext({ Dockerfile: `FROM busybox\nRUN true\nRUN ${command}` });
  await tbuildOk(['-q', context], { store });
  const { code, stderr } = await tbuild(['verify', context], { store });
  expect(code).toBe(1);
  expect(stderr).toMatch(/^error: .*RUN .*: executed again, it made something else: /m);
  expect(stderr).toMatch(difference);
  expect(stderr).toContain('Dockerfile:3');
});

test('the time of a file is none: only --reproducible fixes it', async () => {
  const context = makeContext({ Dockerfile: 'FROM busybox\nRUN touch /now' });
  expect(await tbuildOk(['verify', context], { store })).toBe('the one RUN made the same again\n');
});

test('what it finds is no result: the build is as it was', async () => {
  const context = makeContext({ Dockerfile: 'FROM busybox\nRUN head -c 9 /dev/urandom > /seed' });
  const before = await tbuildOk(['-q', context], { store });
  await tbuild(['verify', context], { store });
  expect(await tbuildOk(['-q', context], { store })).toBe(before);
});
