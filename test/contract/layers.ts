// What every way of keeping and mounting layers owes the rest of tbuild: one suite, for any store, with real mounts. What a mount shows is read
// from the kernel; nothing here knows how a driver works. Wants /bin/busybox, getfattr and setfattr, and root.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Image } from '../../src/images/image.ts';
import { loadImages } from '../../src/images/load.ts';
import { Images } from '../../src/images/store.ts';
import type { LayerEntry } from '../../src/native/serve.ts';
import type { PresentLayer } from '../../src/snapshots/layers.ts';
import { openWorkplace, type Workplace } from '../../src/snapshots/workplace.ts';
import { layout, tarOf, writeFiles } from '../support/archives.ts';
import { type MountOptions, mountStack, type Sight, seeAll, seeIndexes } from './mounted-stack.ts';
import { everything, randomLayer } from './trees.ts';

const tmpfsUpper = { tmpfs: 64 << 20 };

export interface Surroundings {
  /** Overlayfs can write on the store's file system. */
  readonly takesUppers: boolean;
  /** Where no device 0/0 can be made, overlayfs lists whiteouts that have nothing below them, in directories that one layer alone has. */
  readonly listsWhiteouts: boolean;
}

/** `rootOf` gives the store, made by then. */
export function layerContract(rootOf: () => string, { takesUppers, listsWhiteouts }: Surroundings): void {
  let place: Workplace;
  let busybox: PresentLayer;
  beforeAll(async () => {
    place = await openWorkplace(rootOf());
    busybox = await writeBusybox(place);
  });
  afterAll(() => place?.close());

  const write = (entries: readonly LayerEntry[]) => writeLayer(place, entries);
  const mount = (layers: readonly PresentLayer[], options: MountOptions = {}) => mountStack(place, layers, options);
  const show = async (layers: readonly PresentLayer[], options: MountOptions = {}): Promise<Sight[]> => {
    const mounted = await mount(layers, options);
    try {
      return seeAll(mounted.root, listsWhiteouts);
    } finally {
      await mounted.end();
    }
  };
  const newUpper = () => ({ directory: place.newPath(), work: place.newPath() });

  test('a layer is seen exactly as it was written', async () => {
    const { entries, sights } = everything();
    const layer = await write(entries);
    const seen = await show([busybox, layer]);
    const mine = new Set(sights.map((sight) => sight.path));
    expect(seen.filter((sight) => mine.has(sight.path))).toEqual(sights);
    expect(seen).toEqual(seeIndexes(place, [busybox, layer]));
    expect(await verify(place, layer as PresentLayer)).toEqual([]);
  });

  test('whiteouts and opaque directories hide what is below, and only that', async () => {
    const below = await write([file('d/one'), file('d/sub/two'), file('e/three'), file('f'), file('g/h/four')]);
    const hiding = await write([
      { ...directory('d'), opaque: true },
      file('d/new'),
      whiteout('f'),
      directory('g'),
      whiteout('g/h'),
      whiteout('nothing-is-there'),
    ]);
    const again = await write([file('d/one', 'once more'), directory('g/h')]);
    const names = async (layers: PresentLayer[]) =>
      (await show([busybox, ...layers])).map((sight) => sight.path).filter(isNotBusybox);
    expect(await names([below, hiding])).toEqual(['', 'd', 'd/new', 'e', 'e/three', 'g']);
    expect(await names([below, hiding, again])).toEqual(['', 'd', 'd/new', 'd/one', 'e', 'e/three', 'g', 'g/h']);
  });

  test('stacks of 3 and of 200 layers show the topmost of everything', async () => {
    const layer = (number: number) => write([file('which', String(number)), file(`only-${number % 50}/${number}`)]);
    const layers = [busybox, ...(await Promise.all(Array.from({ length: 199 }, (_, number) => layer(number))))];
    for (const stack of [layers.slice(0, 3), layers]) expect(await show(stack)).toEqual(seeIndexes(place, stack));
    const writable = await mount(layers, { upper: tmpfsUpper, script: 'echo written >> which' });
    expect(readFileSync(path.join(writable.root, 'which'), 'utf8')).toBe('198written\n');
    await writable.end();
  });

  test('a layer may be in a stack several times', async () => {
    const [one, two] = await Promise.all([write([file('d/a', 'one'), whiteout('b')]), write([whiteout('d/a'), file('b')])]);
    const empty = await write([]);
    const stack = [busybox, empty, one, two, empty, one, empty];
    expect(await show(stack)).toEqual(seeIndexes(place, stack));
    const written = await mount(stack, { upper: tmpfsUpper, script: 'echo one > d/a' });
    expect(readFileSync(path.join(written.root, 'd/a'), 'utf8')).toBe('one\n');
    await written.end();
  });

  test('directories that a tar only passes through keep the attributes that they have below', async () => {
    const tars = await Promise.all([
      tarOf([
        { name: './', type: 'directory', mode: 0o711 },
        { name: 'dev/', type: 'directory' },
        { name: 'tmp/', type: 'directory', mode: 0o1777 },
        { name: 'root/', type: 'directory', mode: 0o700, uid: 7, gid: 8 },
        { name: 'bin/busybox', mode: 0o755, content: readFileSync('/bin/busybox') },
        ...['sh', 'sleep'].map((name) => ({ name: `bin/${name}`, type: 'symlink' as const, linkname: 'busybox' })),
      ]),
      tarOf([{ name: 'tmp/x' }, { name: 'root/y' }]),
    ]);
    const images = new Images(place.store, place.layers);
    const folder = place.newPath();
    mkdirSync(folder);
    const loaded = await loadImages(place, images, { input: { path: writeFiles(folder, await layout(tars)) } });
    const [image] = loaded as Image[];
    const layers = image?.layers.map((id) => place.layers.get(id) as PresentLayer) ?? [];
    const seen = new Map((await show(layers)).map((sight) => [sight.path, `${sight.mode} ${sight.owner}`]));
    expect(['', 'tmp', 'root', 'tmp/x', 'root/y'].map((name) => seen.get(name))).toEqual([
      '711 0:0',
      '1777 0:0',
      '700 7:8',
      '644 0:0',
      '644 0:0',
    ]);
    images.remove('app', { force: true });
  });

  describe.each([
    { where: 'memory', upperOf: () => tmpfsUpper },
    ...(takesUppers ? [{ where: 'the store', upperOf: newUpper }] : []),
  ])('what is written to an upper in $where', ({ upperOf }) => {
    test('becomes a layer with all that the mount showed', async () => {
      const base = await write(changed);
      const mounted = await mount([busybox, base], { script: changes, upper: upperOf(), commit: true });
      execFileSync('setfattr', ['-n', 'security.capability', '-v', CAPABILITY, path.join(mounted.root, 'plain')]);
      execFileSync('setfattr', ['-n', 'trusted.mine', '-v', 'yes', path.join(mounted.root, 'kept-directory')]);
      // No text has this name, so nothing else here sees it.
      const odd = (root: string) => Buffer.concat([Buffer.from(`${root}/kept-directory/`), Buffer.from([0xff, 0x0a, 0x80])]);
      writeFileSync(odd(mounted.root), 'odd');
      const seen = seeAll(mounted.root);
      const { layer: summary } = await mounted.end();
      if (!summary) throw new Error('nothing was committed');
      const layer = place.layers.commit(summary, place.driver.driver);
      const stack = [busybox, base, layer];
      // In a mount without an index, names that were linked after a copy-up have numbers of their own; as a lower they are one file again.
      const withoutLinks = (sights: Sight[]) => sights.map(({ sameAs: _, ...sight }) => sight);
      expect(withoutLinks(seeIndexes(place, stack))).toEqual(withoutLinks(seen));
      expect(await show(stack)).toEqual(seeIndexes(place, stack));
      const again = await mount(stack);
      expect(readFileSync(odd(again.root), 'utf8')).toBe('odd');
      await again.end();
      expect(await verify(place, layer as PresentLayer)).toEqual([]);
    });

    test('needs room for no more than what changed, and nothing for what only was read', async () => {
      const base = await write([file('read'), file('chmodded'), directory('empty')]);
      const mounted = await mount([busybox, base], {
        script: 'cat read; ls empty; chmod 600 chmodded',
        upper: upperOf(),
        commit: true,
      });
      const { layer } = await mounted.end();
      if (!layer) throw new Error('nothing was committed');
      const committed = place.layers.commit(layer, place.driver.driver);
      const index = place.layers.index(committed.id);
      expect([...index.below('')].map((entry) => `${entry.path} ${entry.mode.toString(8)}`)).toEqual(['chmodded 600']);
    });
  });

  if (!takesUppers) {
    test('an upper on this file system is refused with what to do', async () => {
      await expect(mount([busybox], { upper: newUpper() })).rejects.toMatchObject({
        code: 'unsupported/upper',
        message: expect.stringContaining('TBUILD_ROOT'),
      });
    });
  }

  test('layers cannot be written to, through a mount with an upper or without', async () => {
    const layer = await write([file('file'), directory('directory')]);
    const readOnly = [
      'touch /new',
      'echo x > /file',
      'rm /file',
      'chmod 600 /file',
      'touch /file',
      'rmdir /directory',
      'ln /file /link',
    ];
    const script = readOnly.map((command) => `if ${command}; then echo "${command}" did; exit 3; fi`).join('\n');
    await (await mount([busybox, layer], { script })).end();
    const writable = 'echo more >> /file; mknod /directory/null c 1 3; mv /file /directory; chown 5:5 /bin/busybox';
    await (await mount([busybox, layer], { script: writable, upper: tmpfsUpper })).end();
    for (const each of [busybox, layer]) expect(await verify(place, each)).toEqual([]);
    expect(await show([busybox, layer])).toEqual(seeIndexes(place, [busybox, layer]));
  });

  test('the same content committed twice is one layer', async () => {
    const before = place.layers.all().length;
    const entries = [file('twice', 'the same'), { ...directory('d'), mode: 0o700 }];
    const [one, two] = await Promise.all([write(entries), write(entries)]);
    expect(two).toEqual(one);
    expect(place.layers.all().length).toBe(before + 1);
    expect(place.layers.strays()).toEqual([]);
  });

  test('indexes answer as the mount shows, for any stack', async () => {
    const property = fc.asyncProperty(fc.array(randomLayer, { minLength: 2, maxLength: 6 }), async (contents) => {
      const stack = [busybox, ...(await Promise.all(contents.map(write)))];
      expect(seeIndexes(place, stack)).toEqual(await show(stack));
    });
    await fc.assert(property, { numRuns: 15, seed: 20_261_121, endOnFailure: true });
  });

  test("a layer's tar, unpacked again, is the same tree", async () => {
    const { entries } = everything();
    // A tar has no sockets.
    const layer = await write([
      ...entries.filter(({ type }) => type !== 'socket'),
      whiteout('gone'),
      { ...directory('new'), opaque: true },
    ]);
    const [tar, out] = [place.newPath(), place.newPath()];
    const { diffId } = await place.layers.writeTar(layer, { out: tar, compression: 'zstd' });
    const summary = await place.serve.call('unpack', {
      driver: place.driver.driver,
      out,
      archive: tar,
      whiteouts: true,
      split: false,
    });
    expect([summary.diffId, `blake3:${summary.tree}`]).toEqual([diffId, layer.tree]);
    place.layers.discard(summary);
  });

  test('a sweep takes away what no row accounts for, and nothing else', async () => {
    const layers = [...place.layers.all(), await write([file('stays')])];
    const folder = place.store.path('layers');
    const stray = 'f'.repeat(64);
    for (const name of [`${stray}.index`, `${stray}.erofs`, `${stray}.split`]) writeFileSync(path.join(folder, name), 'x');
    mkdirSync(path.join(folder, stray, 'usr/bin'), { recursive: true });
    writeFileSync(path.join(folder, stray, 'usr/bin/x'), 'x');
    symlinkSync('/', path.join(folder, 'link'));
    expect(place.layers.strays().length).toBe(5);
    place.layers.sweep();
    expect(readdirSync(folder).filter((name) => name.startsWith(stray) || name === 'link')).toEqual([]);
    expect(layers.filter(({ id }) => !place.layers.get(id))).toEqual([]);
    for (const layer of layers.slice(-5)) expect(await verify(place, layer as PresentLayer)).toEqual([]);
  });

  test('a layer that nothing refers to goes when all have ended who may have found it before', async () => {
    const layer = await write([file('d/e/removed', 'still here')]);
    const other = await openWorkplace(rootOf());
    place.layers.condemn([layer.id]);
    expect(collect(place)).toEqual([]);
    const mounted = await mount([busybox, layer]);
    expect(readFileSync(path.join(mounted.root, 'd/e/removed'), 'utf8')).toBe('still here');
    await mounted.end();
    await other.close();
    // One that came later cannot have found it.
    const later = await openWorkplace(rootOf());
    expect(collect(place)).toEqual([layer.id]);
    await later.close();
    expect(place.layers.get(layer.id)).toBeUndefined();
    expect(() => statSync(place.layers.dataPath(layer))).toThrow('ENOENT');
    expect(place.layers.strays()).toEqual([]);
  });

  test('a layer that is made again in time stays', async () => {
    const entries = [file('twice')];
    const layer = await write(entries);
    place.layers.condemn([layer.id]);
    expect((await write(entries)).id).toBe(layer.id);
    expect(collect(place)).toEqual([]);
    expect(await verify(place, layer)).toEqual([]);
  });
}

function collect({ store, layers }: Workplace): string[] {
  return store.db.immediate(() => layers.collect()).map(({ id }) => id);
}

const MTIME = [1_700_000_000, 123_456_789] as const;
const plain = { uid: 0, gid: 0, mtime: MTIME };
const directory = (name: string): LayerEntry => ({ path: name, type: 'dir', mode: 0o755, ...plain });
const file = (name: string, text = name): LayerEntry => ({ path: name, type: 'file', mode: 0o644, ...plain, text });
const whiteout = (name: string): LayerEntry => ({ path: name, type: 'whiteout', mode: 0, ...plain });
const isNotBusybox = (name: string) => name !== 'dev' && name !== 'bin' && !name.startsWith('bin/');
/** cap_net_bind_service=ep, as the kernel keeps it. */
const CAPABILITY = '0x0100000200040000000000000000000000000000';

/** What `changes` changes. */
const changed: readonly LayerEntry[] = [
  file('plain'),
  file('chmodded'),
  file('renamed'),
  file('to-directory'),
  file('linked'),
  { path: 'linked-too', type: 'file', mode: 0o644, ...plain, hardlink: 'linked' },
  { path: 'to-file-link', type: 'symlink', mode: 0o777, ...plain, link: 'plain' },
  ...['removed', 'to-file', 'recreated', 'moved', 'kept-directory'].flatMap((name) => [file(`${name}/a`), file(`${name}/sub/b`)]),
];

const changes = `
chmod 4711 chmodded
mv renamed renamed-to
mv moved moved-to
rm -r removed
rm -r to-file; echo now a file > to-file
rm to-directory; mkdir to-directory; echo x > to-directory/x
rm -r recreated; mkdir -m 1770 recreated; echo y > recreated/y
rm to-file-link; mkfifo to-file-link
ln linked linked-three; echo more >> linked-three
ln kept-directory/a kept-directory/sub/a-too
mv kept-directory/sub/b b-moved-out
chown 1000:2000 kept-directory/sub
touch -d '2001-02-03 04:05:06' plain
ln -s ../nowhere kept-directory/dangling
mknod kept-directory/device b 259 70000
echo short-lived > t; rm t
mkdir -p new/and/deep; echo z > new/and/deep/z; ln new/and/deep/z new/z
dd if=/dev/zero of=sparse bs=1 count=1 seek=20000000 2> new/log
`;

/** Adds the parents that are not listed, as a COPY would: implied. */
async function writeLayer(place: Workplace, entries: readonly LayerEntry[], root?: string): Promise<PresentLayer> {
  const all = new Map(entries.map((entry) => [entry.path, entry]));
  for (const { path: name } of entries) {
    for (let end = name.lastIndexOf('/'); end > 0; end = name.lastIndexOf('/', end - 1)) {
      const parent = name.slice(0, end);
      if (!all.has(parent)) all.set(parent, { ...directory(parent), implied: true });
    }
  }
  const driver = place.driver.driver;
  const sources = root === undefined ? [] : [{ root }];
  const summary = await place.serve.call('writeLayer', { driver, out: place.newPath(), sources, entries: [...all.values()] });
  return place.layers.commit(summary, driver);
}

function writeBusybox(place: Workplace): Promise<PresentLayer> {
  const names = [
    'sh',
    'cat',
    'chmod',
    'chown',
    'dd',
    'ln',
    'ls',
    'mkdir',
    'mkfifo',
    'mknod',
    'mv',
    'rm',
    'rmdir',
    'sleep',
    'touch',
  ];
  const binary: LayerEntry = {
    path: 'bin/busybox',
    type: 'file',
    mode: 0o755,
    ...plain,
    source: 0,
    at: 'busybox',
    size: statSync('/bin/busybox').size,
  };
  return writeLayer(
    place,
    [
      binary,
      directory('dev'),
      ...names.map((name): LayerEntry => ({ path: `bin/${name}`, type: 'file', mode: 0o755, ...plain, hardlink: 'bin/busybox' })),
    ],
    '/bin',
  );
}

async function verify(place: Workplace, layer: PresentLayer): Promise<string[]> {
  return (await place.serve.call('verify', { index: place.layers.indexPath(layer.id), data: place.layers.dataPath(layer) }))
    .problems;
}
