// ADD of archives and of what is far away. The names are the numbers and sentences of the list of behaviours (all.test.ts).

import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tarOf } from '../support/archives.ts';
import { buildImage } from '../support/built-image.ts';
import { makeContext } from '../support/contexts.ts';

const modified = 'Sat, 17 Jan 2026 10:00:00 GMT';
let tar: Buffer;
let context: string;
let lastModified = modified;
const server = createServer((request, response) => {
  response.setHeader('last-modified', lastModified);
  response.end(request.url?.endsWith('.gz') ? gzipSync(tar) : 'text\n');
});
let address: string;

beforeAll(async () => {
  tar = await tarOf([
    { name: 'sub', type: 'directory', mode: 0o750, uid: 9, gid: 8 },
    { name: 'sub/f', content: 'f\n', mode: 0o600, uid: 9, gid: 8 },
  ]);
  context = makeContext({});
  writeFileSync(path.join(context, 'x.tar.gz'), gzipSync(tar));
  writeFileSync(path.join(context, 'photo.jpg'), gzipSync(tar));
  writeFileSync(path.join(context, 'text.tar.gz'), gzipSync('no archive'));
  await new Promise<void>((listening) => void server.listen(0, '127.0.0.1', listening));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

test("55. `ADD x.tar.gz /d` extracts; `ADD http…/x.tar.gz /d/` doesn't; extension irrelevant.", async () => {
  const local = await buildImage('FROM busybox\nADD x.tar.gz /d\nADD photo.jpg /e/\nADD text.tar.gz /g/', { context });
  expect([local.text('/d/sub/f'), local.text('/e/sub/f')]).toEqual(['f', 'f']);
  expect(local.list('/g')).toEqual(['text.tar.gz']);
  const remote = await buildImage(`FROM busybox\nADD ${address}/x.tar.gz /d/`, { context });
  expect(remote.list('/d')).toEqual(['x.tar.gz']);
});

test('56. Local tar keeps archive owners; with `--chown` all replaced.', async () => {
  const { stat } = await buildImage('FROM busybox\nADD x.tar.gz /d\nADD --chown=3:4 x.tar.gz /e', { context });
  expect([stat('/d'), stat('/d/sub'), stat('/d/sub/f')]).toEqual(['755 0:0', '750 9:8', '600 9:8']);
  expect([stat('/e'), stat('/e/sub'), stat('/e/sub/f')]).toEqual(['755 3:4', '750 3:4', '600 3:4']);
});

test('57. ADD url mode 0600; mtime from Last-Modified (and that mtime is in the source key).', async () => {
  const dockerfile = `FROM busybox\nADD ${address}/file /f`;
  const { stat, files } = await buildImage(dockerfile, { context });
  expect([stat('/f'), files.get('f')?.mtime.toUTCString()]).toEqual(['600 0:0', modified]);
  expect((await buildImage(dockerfile, { context })).ran).toEqual([]);
  lastModified = 'Sun, 18 Jan 2026 10:00:00 GMT';
  const later = await buildImage(dockerfile, { context });
  expect(later.files.get('f')?.mtime.toUTCString()).toBe(lastModified);
});
