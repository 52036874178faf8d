// Volumes: their records, what the image has at their place, and that a kill leaves none half filled.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ContainerMount } from '../../src/containers/spec.ts';
import { mountVolume } from '../../src/containers/volumes/mount-volume.ts';
import { Volumes } from '../../src/containers/volumes/volumes.ts';
import { openWorkplace, type Workplace } from '../../src/snapshots/workplace.ts';
import { makeContext } from '../support/contexts.ts';
import { build } from '../support/events.ts';
import { isRoot } from '../support/own-files.ts';
import { emptyStore, freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

type VolumeMount = Extract<ContainerMount, { readonly type: 'volume' }>;

const app = {
  Dockerfile: [
    'FROM busybox',
    'RUN mkdir -p /data/sub && echo one > /data/file && chmod 4755 /data/file && ln /data/file /data/sub/hard && ln -s file /data/soft \\',
    ' && chown 1000:1001 /data /data/sub && chmod 1770 /data/sub && mkfifo /data/fifo && mkdir /gone && touch /gone/x && rm -r /gone',
    'RUN echo two > /data/two && rm /data/soft && ln -s two /data/soft && ln -s /data /link',
  ].join('\n'),
};

let place: Workplace;
let spec: { readonly layers: readonly string[] };

beforeAll(async () => {
  const store = freshStore();
  await build([makeContext(app), '-t', 'app'], { store });
  place = await openWorkplace(store);
  const row = place.store.db.get<{ layers: string }>(
    "SELECT layers FROM images WHERE id = (SELECT image FROM names WHERE name LIKE '%/app:%')",
  );
  spec = { layers: JSON.parse(row!.layers) as string[] };
});
afterAll(() => place.close());

const mountOf = (name: string, more: Partial<VolumeMount> = {}): VolumeMount => ({
  type: 'volume',
  name,
  isAnonymous: false,
  target: '/data',
  readonly: false,
  noCopy: false,
  ...more,
});
const mount = async (name: string, more: Partial<VolumeMount> = {}, id = 'a'.repeat(64)): Promise<string> => {
  const source = await mountVolume(place, mountOf(name, more), { id, spec });
  if (source.kind !== 'directory') throw new Error('it is no directory');
  return source.path;
};
/** A container's record, and its directory. */
const addContainer = (id: string, mounts: readonly ContainerMount[]) => {
  const sql = "INSERT INTO containers (id, name, image, layers, created, spec) VALUES (?, ?, 'sha256:0', '[]', 1, ?)";
  place.store.db.run(sql, id, id.slice(0, 8), JSON.stringify({ mounts }));
  mkdirSync(place.store.path('containers', id), { recursive: true });
};

describe('an empty volume', () => {
  test('gets what the image has at its place, from all layers: modes, owners, links', async () => {
    const data = await mount('whole');
    expect(readdirSync(data).sort()).toEqual(['fifo', 'file', 'soft', 'sub', 'two']);
    expect(readFileSync(path.join(data, 'soft'), 'utf8')).toBe('two\n');
    const stat = (name: string) => lstatSync(path.join(data, name));
    expect(stat('file').mode & 0o7777).toBe(0o4755);
    expect(stat('sub').mode & 0o7777).toBe(0o1770);
    expect(stat('fifo').isFIFO()).toBe(true);
    if (!isRoot) return; // What is in sub is one of the account's further ids.
    expect(stat('file').ino).toBe(stat('sub/hard').ino);
    expect([stat('').uid, stat('').gid, stat('sub').uid, stat('file').uid]).toEqual([1000, 1001, 1000, 0]);
  });

  test('that is mounted through a link of the image gets what is behind it', async () => {
    expect(readdirSync(await mount('linked', { target: '/link' }))).toContain('two');
  });

  test.each([
    ['nocopy', { noCopy: true }],
    ['where the image has nothing', { target: '/srv/none' }],
    ['where it has removed it', { target: '/gone' }],
    ['where it has a file', { target: '/data/file' }],
  ])('stays empty: %s', async (why, more) => {
    expect(readdirSync(await mount(`empty-${why.replace(/ /g, '-')}`, more))).toEqual([]);
  });

  test('is filled once, by whoever is first of many', async () => {
    const all = await Promise.all(Array.from({ length: 8 }, (_, i) => mount('raced', {}, String(i).repeat(64))));
    expect(new Set(all).size).toBe(1);
    const inode = statSync(path.join(all[0]!, 'file')).ino;
    writeFileSync(path.join(all[0]!, 'two'), 'changed');
    await mount('raced');
    expect([statSync(path.join(all[0]!, 'file')).ino, readFileSync(path.join(all[0]!, 'two'), 'utf8')]).toEqual([
      inode,
      'changed',
    ]);
  });

  test('that another container has mounted is filled where it is', async () => {
    const id = 'b'.repeat(64);
    const empty = await mount('shared', { target: '/none' }, id);
    addContainer(id, [mountOf('shared')]);
    const { ino } = statSync(empty);
    expect(statSync(await mount('shared')).ino).toBe(ino);
    expect(readdirSync(empty)).toContain('two');
  });

  test('whose filling was cut short is empty or whole the next time', async () => {
    const data = await mount('cut', { noCopy: true });
    const beside = (name: string) => path.join(path.dirname(data), name);
    mkdirSync(beside('.new'));
    writeFileSync(path.join(beside('.new'), 'half'), 'x');
    await mount('cut', { noCopy: true });
    expect(readdirSync(data)).toEqual([]);
    expect(readdirSync(await mount('cut'))).not.toContain('half');
    const late = await mount('late', { noCopy: true });
    mkdirSync(path.join(path.dirname(late), '.whole'));
    writeFileSync(path.join(path.dirname(late), '.whole', 'rest'), 'x');
    expect(readdirSync(await mount('late', { noCopy: true }))).toEqual(['rest']);
    expect(existsSync(path.join(path.dirname(late), '.whole'))).toBe(false);
  });
});

describe('a kill in the middle', () => {
  const files = 400;
  let many: { readonly layers: readonly string[] };
  beforeAll(async () => {
    const script = `for i in $(seq ${files}); do dd if=/dev/zero of=/many/$i bs=16k count=1 2>/dev/null; done`;
    const Dockerfile = `FROM busybox\nRUN mkdir /many && ${script}`;
    await build([makeContext({ Dockerfile }), '-t', 'many'], { store: place.store.root });
    const sql = "SELECT layers FROM images WHERE id = (SELECT image FROM names WHERE name LIKE '%/many:%')";
    many = { layers: JSON.parse(place.store.db.get<{ layers: string }>(sql)!.layers) as string[] };
  });

  test('leaves a volume empty or whole', async () => {
    const source = (file: string) => JSON.stringify(new URL(`../../src/${file}`, import.meta.url).href);
    const program = `
      const { openWorkplace } = await import(${source('snapshots/workplace.ts')});
      const { mountVolume } = await import(${source('containers/volumes/mount-volume.ts')});
      const place = await openWorkplace(${JSON.stringify(place.store.root)});
      process.send('open');
      await mountVolume(place, ${JSON.stringify(mountOf('killed', { target: '/many' }))}, { id: 'k', spec: ${JSON.stringify(many)} });
      process.send('done');
      await place.close();`;
    const data = place.store.path('volumes/killed/_data');
    const counts = new Set<number>();
    for (let i = 0; i < 12; i++) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      const exited = once(child, 'exit');
      await once(child, 'message');
      await Promise.race([sleep(i * 3), once(child, 'message')]);
      child.kill('SIGKILL');
      await exited;
      const count = existsSync(data) ? readdirSync(data).length : 0;
      counts.add(count);
      expect([0, files]).toContain(count);
      if (count === files) rmSync(path.dirname(data), { recursive: true });
    }
    expect(
      readdirSync(
        ((await mountVolume(place, mountOf('killed', { target: '/many' }), { id: 'k', spec: many })) as { path: string }).path,
      ),
    ).toHaveLength(files);
    expect(counts).toContain(0);
  });
});

describe('a volume', () => {
  test('has a name that docker would take, and options of its local driver', () => {
    const volumes = new Volumes(place);
    expect(() => volumes.create({ name: 'a' })).toThrow(
      'volume name is too short, names should be at least two alphanumeric characters',
    );
    expect(() => volumes.create({ name: '../up' })).toThrow('includes invalid characters for a local volume name');
    expect(() => volumes.create({ name: 'opt', options: { colour: 'red' } })).toThrow('create opt: invalid option: "colour"');
    expect(() => volumes.create({ name: 'opt', options: { type: 'none' } })).toThrow('missing required option: "device"');
    expect(() => volumes.create({ name: 'opt', options: { type: 'nfs', device: ':/x' } })).toThrow('cannot be mounted');
    expect(volumes.create({}).name).toMatch(/^[0-9a-f]{64}$/);
    expect(() => volumes.find('never')).toThrow('get never: no such volume');
  });

  test('of type none is the directory that it names; of type tmpfs memory', async () => {
    const directory = place.newPath();
    const volumes = new Volumes(place);
    volumes.create({ name: 'elsewhere', options: { type: 'none', o: 'bind,ro', device: directory } });
    await expect(mount('elsewhere')).rejects.toThrow('no such file or directory');
    mkdirSync(directory);
    expect(await mountVolume(place, mountOf('elsewhere'), { id: 'x', spec })).toEqual({
      kind: 'directory',
      path: directory,
      readonly: true,
    });
    volumes.create({ name: 'memory', options: { type: 'tmpfs', device: 'tmpfs', o: 'size=1m,uid=1000' } });
    const options = ['size=1m', 'uid=1000'];
    expect(await mountVolume(place, mountOf('memory'), { id: 'x', spec })).toEqual({ kind: 'tmpfs', options });
  });

  test('is not removed while a container has it, running or not', async () => {
    const id = 'c'.repeat(64);
    const volumes = new Volumes(place);
    const data = await mount('held', {}, id);
    addContainer(id, [mountOf('held')]);
    await expect(volumes.remove('held')).rejects.toThrow(`remove held: volume is in use - [${id}]`);
    expect(existsSync(data)).toBe(true);
    rmSync(place.store.path('containers', id), { recursive: true });
    await volumes.remove('held');
    expect(existsSync(path.dirname(data))).toBe(false);
    await expect(volumes.remove('held')).rejects.toThrow('get held: no such volume');
    await volumes.remove('held', { force: true });
  });

  test('that is anonymous goes with its container, and with prune; others with prune --all', async () => {
    const volumes = new Volumes(place);
    const name = volumes.create({}).name;
    await volumes.releaseOf({ mounts: [mountOf(name, { isAnonymous: true }), mountOf('whole')] });
    expect(volumes.list().map((volume) => volume.name)).toContain('whole');
    expect(() => volumes.find(name)).toThrow('no such volume');
    const { name: lost } = volumes.create({});
    await mount('named');
    expect((await volumes.prune()).names).toContain(lost);
    const pruned = await volumes.prune(undefined, { all: true });
    expect(pruned.names).toContain('named');
    expect(pruned.names).not.toContain('shared');
    expect(pruned.sizeBytes).toBeGreaterThan(0);
  });

  test('of a directory without a record is one, too', () => {
    mkdirSync(place.store.path('volumes', 'early', '_data'), { recursive: true });
    expect(new Volumes(place).list().map(({ name }) => name)).toContain('early');
  });

  test('shows a part of itself, but nothing behind a link', async () => {
    const data = await mount('parted');
    expect(await mount('parted', { subpath: 'sub' })).toBe(path.join(data, 'sub'));
    for (const subpath of ['soft', '../..', 'none', 'sub/../..'])
      await expect(mount('parted', { subpath })).rejects.toThrow('cannot access path');
  });
});

describe('tbuild volume', () => {
  const store = emptyStore();
  const volume = (...args: string[]) => tbuild(['volume', ...args], { store });
  const volumeOk = (...args: string[]) => tbuildOk(['volume', ...args], { store });

  test('creates, lists, describes and removes as docker does', async () => {
    expect(await volumeOk('create', 'data', '--label', 'tier=one', '--label', 'plain')).toBe('data\n');
    expect(await volumeOk('create', 'data')).toBe('data\n');
    const anonymous = (await volumeOk('create')).trim();
    const lines = [anonymous, 'data'].sort().map((name) => `local     ${name}\n`);
    expect(await volumeOk('ls')).toBe(`DRIVER    VOLUME NAME\n${lines.join('')}`);
    expect(await volumeOk('ls', '-q', '--filter', 'label=tier=one')).toBe('data\n');
    expect(await volumeOk('ls', '-q', '-f', 'name=dat', '-f', 'dangling=1')).toBe('data\n');
    expect(await volumeOk('ls', '-q', '-f', 'dangling=false')).toBe('');
    expect(await volumeOk('ls', '--format', '{{.Name}} {{.Driver}} {{.Labels}}', '-f', 'name=data')).toBe(
      'data local tier=one,plain=\n',
    );
    expect(JSON.parse(await volumeOk('ls', '--format', 'json', '-f', 'name=data'))).toEqual({
      Availability: 'N/A',
      Driver: 'local',
      Group: 'N/A',
      Labels: 'tier=one,plain=',
      Links: 'N/A',
      Mountpoint: path.join(store, 'volumes/data/_data'),
      Name: 'data',
      Scope: 'local',
      Size: 'N/A',
      Status: 'N/A',
    });
    const [found] = JSON.parse(await volumeOk('inspect', 'data')) as Record<string, unknown>[];
    expect(found).toMatchObject({
      Driver: 'local',
      Labels: { tier: 'one', plain: '' },
      Name: 'data',
      Options: null,
      Scope: 'local',
    });
    expect(found?.CreatedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(await volumeOk('inspect', '-f', '{{.Mountpoint}}', 'data')).toBe(`${path.join(store, 'volumes/data/_data')}\n`);
    expect(await volumeOk('rm', 'data')).toBe('data\n');
    expect(await volumeOk('prune', '--force')).toBe(`Deleted Volumes:\n${anonymous}\n\nTotal reclaimed space: 0B\n`);
    expect(await volumeOk('ls')).toBe('DRIVER    VOLUME NAME\n');
  });

  test('fails in docker’s words', async () => {
    expect(await volume('inspect', 'none')).toMatchObject({
      code: 1,
      stdout: '[]\n',
      stderr: expect.stringContaining('get none: no such volume'),
    });
    expect(await volume('rm', 'none')).toMatchObject({ code: 1, stderr: expect.stringContaining('get none: no such volume') });
    expect(await volume('rm', '-f', 'none')).toMatchObject({ code: 0, stdout: 'none\n' });
    expect(await volume('create', '-o', 'size=1g', 'x1')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('quota size requested'),
    });
    expect((await volume('create', '-d', 'nfs', 'x1')).stderr).toContain('plugin "nfs" not found');
  });
});
