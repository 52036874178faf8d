// What runs again and what does not, told by real builds.

import { readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { makeContext, writeFiles } from '../support/contexts.ts';
import { build } from '../support/events.ts';
import { freshStore } from '../support/stores.ts';
import { tbuildOk } from '../support/tbuild.ts';

let store: string;
beforeAll(() => {
  store = freshStore();
});

const app = {
  Dockerfile: [
    'FROM busybox',
    'WORKDIR /app',
    'COPY package.json ./',
    'RUN cat package.json > installed',
    'COPY . .',
    'RUN cat src/* > built',
    'CMD ["cat", "built"]',
  ].join('\n'),
  'package.json': '{}\n',
  'src/a': 'a\n',
  'src/b': 'b\n',
};

describe('a second build', () => {
  it('is all cached and gives the same image', async () => {
    const context = makeContext(app);
    const first = await build([context], { store });
    expect(first.ran).toEqual([
      'WORKDIR /app',
      'COPY package.json ./',
      'RUN cat package.json > installed',
      'COPY . .',
      'RUN cat src/* > built',
    ]);
    const second = await build([context], { store });
    expect(second.ran).toEqual([]);
    expect(second.cached).toHaveLength(5);
    expect(second.image).toBe(first.image);
  });

  it('is cached after a touch, from another directory, and under other names', async () => {
    const first = await build([makeContext(app)], { store });
    const context = makeContext(app);
    utimesSync(path.join(context, 'src/a'), 1, 1);
    const second = await build(['-t', 'another:name', context], { store });
    expect(second.ran).toEqual([]);
    expect(second.image).toBe(first.image);
  });

  it('runs only what depends on an edited file', async () => {
    const context = makeContext(app);
    await build([context], { store });
    writeFiles(context, { 'src/a': 'edited\n' });
    const edited = await build(['-t', 'edited', context], { store });
    expect(edited.ran).toEqual(['COPY . .', 'RUN cat src/* > built']);
    expect(await tbuildOk(['run', '--rm', 'edited'], { store })).toBe('edited\nb\n');
  });

  it('is cached again when the edit is taken back', async () => {
    const context = makeContext(app);
    await build([context], { store });
    writeFiles(context, { 'src/a': 'for a moment\n' });
    await build([context], { store });
    writeFiles(context, { 'src/a': 'a\n' });
    expect((await build([context], { store })).ran).toEqual([]);
  });

  it('runs again after a mode, a new file, a removed file, a renamed file', async () => {
    const changes: ((context: string) => void)[] = [
      (context) => writeFiles(context, { 'src/a': { text: 'a\n', mode: 0o755 } }),
      (context) => writeFiles(context, { 'src/c': '' }),
      (context) => rmSync(path.join(context, 'src/b')),
    ];
    for (const change of changes) {
      const context = makeContext(app);
      await build([context], { store });
      change(context);
      expect((await build([context], { store })).ran).toContain('COPY . .');
    }
  });
});

describe('the digests of unchanged files', () => {
  it('are kept, and never hide a change', async () => {
    const files = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`data/f${i}`, `${i}`]));
    const context = makeContext({ ...files, Dockerfile: 'FROM scratch\nCOPY data /data\n' });
    // As old as a checkout is when somebody edits it: too young a file is not trusted.
    await sleep(3100);
    await build([context], { store });
    const kept = readdirSync(path.join(store, 'contexts')).filter((name) => name.endsWith('.stat'));
    expect(kept.length).toBeGreaterThan(0);
    expect((await build([context], { store })).ran).toEqual([]);
    // The same size, the old time put back.
    const file = path.join(context, 'data/f7');
    const { atime, mtime } = statSync(file);
    writeFileSync(file, 'X');
    utimesSync(file, atime, mtime);
    expect((await build([context], { store })).ran).toEqual(['COPY data /data']);
    expect((await build(['--no-cache', context], { store })).code).toBe(0);
  });
});

describe('a COPY on another base', () => {
  const dockerfile = (base: string) => `FROM ${base}\nCOPY data /data/\n`;
  const data = { 'data/one': '1', 'data/two/three': '3' };

  it('is a hit with one layer file and nothing written', async () => {
    const context = makeContext({
      ...data,
      'on-busybox': dockerfile('busybox'),
      'on-debian': dockerfile('debian:12'),
      'on-scratch': dockerfile('scratch'),
    });
    const first = await build(['-f', path.join(context, 'on-busybox'), context], { store });
    expect(first.ran).toEqual(['COPY data /data/']);
    const before = readdirSync(path.join(store, 'layers')).sort();
    for (const other of ['on-debian', 'on-scratch']) {
      const second = await build(['-f', path.join(context, other), context], { store });
      expect(second.cached).toEqual(['COPY data /data/']);
      expect(second.layers['COPY data /data/']).toBe(first.layers['COPY data /data/']);
    }
    expect(readdirSync(path.join(store, 'layers')).sort()).toEqual(before);
  });

  it.each([
    ['a symlink', 'RUN mkdir /elsewhere && ln -s /elsewhere /data', '/elsewhere/one'],
    ['a directory with another mode', 'RUN mkdir -m 700 /data', '/data/one'],
  ])('is a miss where the destination is %s', async (_, prepare, at) => {
    const context = makeContext({
      ...data,
      first: dockerfile('busybox'),
      second: `FROM busybox\n${prepare}\nCOPY data /data/\nCMD cat ${at} && stat -c %a /data/\n`,
    });
    await build(['-f', path.join(context, 'first'), context], { store });
    const second = await build(['-t', 'second', '-f', path.join(context, 'second'), context], { store });
    expect(second.ran).toContain('COPY data /data/');
    expect(await tbuildOk(['run', '--rm', 'second'], { store })).toBe(prepare.includes('700') ? '1700\n' : '1755\n');
  });

  it('is a miss where a name has another uid', async () => {
    const user = (uid: number) =>
      `FROM busybox\nRUN echo "app:x:${uid}:${uid}::/:" >> /etc/passwd && echo "app:x:${uid}:" >> /etc/group\nCOPY --chown=app data /data/\nCMD stat -c %u /data/one\n`;
    const context = makeContext({ ...data, a: user(1234), b: user(1235) });
    await build(['-f', path.join(context, 'a'), context], { store });
    const second = await build(['-t', 'chowned', '-f', path.join(context, 'b'), context], { store });
    expect(second.ran).toContain('COPY --chown=app data /data/');
    expect(await tbuildOk(['run', '--rm', 'chowned'], { store })).toBe('1235\n');
  });

  it('is a miss, and an error, where a file is in the way', async () => {
    const context = makeContext({
      ...data,
      a: 'FROM busybox\nCOPY data /data\n',
      b: 'FROM busybox\nRUN echo > /data\nCOPY data /data\n',
    });
    await build(['-f', path.join(context, 'a'), context], { store });
    const second = await build(['-f', path.join(context, 'b'), context], { store });
    expect(second.code).toBe(1);
    expect(second.stderr).toContain('cannot copy to non-directory: /data');
  });
});

describe('results that come out equal', () => {
  it('keep the older layer, so that the image ID does not move', async () => {
    const context = makeContext(app);
    const first = await build([context], { store });
    const again = await build(['--no-cache', context], { store });
    expect(again.ran).toHaveLength(5);
    expect(again.image).toBe(first.image);
  });

  it('stop a change from going on: what stands on an equal result is cached', async () => {
    const context = makeContext({
      Dockerfile:
        'FROM busybox AS gen\nCOPY in /in\nRUN wc -l < /in > /count\nFROM busybox\nCOPY --from=gen /count /count\nRUN cat /count > /out\n',
      in: 'one\n',
    });
    await build([context], { store });
    writeFileSync(path.join(context, 'in'), 'two\n');
    expect((await build([context], { store })).ran).toEqual(['COPY in /in', 'RUN wc -l < /in > /count']);
  });
});

describe('what is no input', () => {
  it('an undeclared build argument, a secret, and the contents of a cache mount change nothing', async () => {
    const context = makeContext({
      Dockerfile:
        'FROM busybox\nRUN --mount=type=secret,id=s --mount=type=cache,target=/cache cat /run/secrets/s >> /cache/seen; echo done\n',
    });
    const env = { SECRET: 'one' };
    await build(['--secret', 'id=s,env=SECRET', context], { store, env });
    expect(
      (await build(['--secret', 'id=s,env=SECRET', '--build-arg', 'NOBODY=knows', context], { store, env: { SECRET: 'two' } }))
        .ran,
    ).toEqual([]);
  });

  it('a declared build argument does change what comes after it', async () => {
    const context = makeContext({ Dockerfile: 'FROM busybox\nRUN echo before\nARG WHO\nRUN echo $WHO > /who\n' });
    await build(['--build-arg', 'WHO=you', context], { store });
    expect((await build(['--build-arg', 'WHO=me', context], { store })).ran).toEqual(['RUN echo me > /who']);
  });
});

describe('two builds at once', () => {
  it('do the same work once', async () => {
    const context = makeContext({ Dockerfile: 'FROM busybox\nRUN sleep 1 && cat /proc/sys/kernel/random/uuid > /id\n' });
    const both = await Promise.all([build([context], { store }), build([context], { store })]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(both.flatMap(({ ran }) => ran)).toHaveLength(1);
    expect(both[0]?.image).toBe(both[1]?.image);
  });
});
