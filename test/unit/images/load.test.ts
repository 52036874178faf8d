// What is loaded of archives and layouts, and what survives loading and saving. Layers are real; none is mounted.
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Digest } from '../../../src/base/digest.ts';
import type { Image } from '../../../src/images/image.ts';
import { type LoadOptions, loadImages } from '../../../src/images/load.ts';
import { type SaveOptions, saveImages } from '../../../src/images/save.ts';
import type { PresentLayer } from '../../../src/snapshots/layers.ts';
import {
  addBlob,
  addImage,
  amd64,
  archiveOf,
  configOf,
  digestOf,
  type Files,
  hexOf,
  INDEX_TYPE,
  layerOf,
  layout,
  named,
  oldDockerArchive,
  setIndex,
  tarOf,
  writeFiles,
} from '../../support/archives.ts';
import { type ImageStore, openImageStore } from '../../support/image-store.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-load-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const loadAll = ({ place, images }: ImageStore, bytes: Uint8Array, more: Partial<LoadOptions> = {}) =>
  loadImages(place, images, { input: { stream: Readable.from([bytes]) }, ...more });
/** Where no index is expected. */
const load = async (...loading: Parameters<typeof loadAll>) => (await loadAll(...loading)) as Image[];

async function save(
  { place, images }: ImageStore,
  names: readonly string[],
  options: Partial<SaveOptions> = {},
): Promise<Buffer> {
  const sink = new PassThrough();
  const [bytes] = await Promise.all([
    buffer(sink),
    saveImages(place, images, names, { format: 'oci', compression: 'gzip', destination: sink, ...options }),
  ]);
  return bytes;
}

const blobsOf = ({ place }: ImageStore) => readdirSync(place.store.path('blobs/sha256')).sort();

describe('every form of archive', () => {
  const forms: readonly (readonly [string, () => Promise<Uint8Array>])[] = [
    ['an OCI archive', async () => archiveOf(await layout())],
    ['an OCI archive whose index comes first', async () => archiveOf(new Map([...(await layout())].reverse()))],
    [
      'an OCI archive, names with a leading ./',
      async () => archiveOf(new Map([...(await layout())].map(([name, content]) => [`./${name}`, content]))),
    ],
    ['an OCI archive in gzip', async () => gzipSync(await archiveOf(await layout()))],
    [
      'an OCI archive in two gzip members',
      async () => {
        const tar = await archiveOf(await layout());
        return Buffer.concat([gzipSync(tar.subarray(0, 700)), gzipSync(tar.subarray(700))]);
      },
    ],
    ['an OCI archive in zstd', async () => zstdCompressSync(await archiveOf(await layout()))],
    [
      'an OCI archive with the same file twice',
      async () =>
        archiveOf(
          new Map([...(await layout()), ...[...(await layout())].map(([name, content]) => [`./${name}`, content] as const)]),
        ),
    ],
    ['docker-archive of before 25', async () => archiveOf(await oldDockerArchive())],
    [
      'docker-archive of today',
      async () =>
        archiveOf(new Map([...(await layout()), ...[...(await oldDockerArchive())].filter(([name]) => name !== 'repositories')])),
    ],
    ['docker-archive in gzip', async () => gzipSync(await archiveOf(await oldDockerArchive()))],
  ];

  test.each(forms)('%s', async (_, make) => {
    const store = await openImageStore();
    const layer = await layerOf('hello', 'hello');
    const [image, ...others] = await load(store, await make());
    expect(others).toEqual([]);
    expect(image).toMatchObject({ id: digestOf(configOf([layer])), names: ['docker.io/library/app:latest'], sizeBytes: 5 });
    const [kept] = image?.layers.map((id) => store.place.layers.get(id)) ?? [];
    expect(kept).toMatchObject({ diffId: digestOf(layer), tarSize: layer.length, split: true });
    expect(store.place.layers.readFile(kept as PresentLayer, 'hello').toString()).toBe('hello');
  });

  test('a layout folder, links in it followed, nothing of it changed', async () => {
    const store = await openImageStore();
    writeFiles(folder, await layout());
    const blobs = path.join(folder, 'blobs/sha256');
    for (const name of readdirSync(blobs)) {
      writeFileSync(path.join(folder, `elsewhere-${name}`), readFileSync(path.join(blobs, name)));
      unlinkSync(path.join(blobs, name));
      symlinkSync(path.join(folder, `elsewhere-${name}`), path.join(blobs, name));
    }
    const before = readdirSync(folder);
    const [image] = await loadImages(store.place, store.images, { input: { path: folder } });
    expect(image?.names).toEqual(['docker.io/library/app:latest']);
    expect(readdirSync(folder)).toEqual(before);
  });

  test('docker-archive whose layers are links to others', async () => {
    const store = await openImageStore();
    const layer = await layerOf('a', 'a');
    const config = configOf([layer, layer]);
    const bytes = await tarOf([
      { name: 'data.tar', content: layer },
      { name: 'one/layer.tar', type: 'symlink', linkname: '../data.tar' },
      { name: 'two/layer.tar', type: 'link', linkname: 'one/layer.tar' },
      { name: 'config', content: config },
      {
        name: 'manifest.json',
        content: JSON.stringify([{ Config: 'config', RepoTags: null, Layers: ['one/layer.tar', 'two/layer.tar'] }]),
      },
    ]);
    const [image] = await load(store, bytes);
    expect(image?.names).toEqual([]);
    expect(image?.layers).toHaveLength(2);
    expect(store.place.layers.all()).toHaveLength(1);
  });
});

test('a layer that ends right behind its last content, as umoci insert writes them, and comes back so', async () => {
  const store = await openImageStore();
  const layer = (await layerOf('hello', 'hello')).subarray(0, 512 + 'hello'.length);
  const [image] = await load(store, await archiveOf(await oldDockerArchive([layer])));
  const kept = store.place.layers.get(image?.layers[0] as Digest)!;
  expect(await store.place.layers.writeTar(kept as PresentLayer, { compression: 'none' })).toMatchObject({
    diffId: hexOf(layer),
    tarSize: layer.length,
  });
});

describe('names and platforms', () => {
  test('several images in one archive, one of them under two names', async () => {
    const store = await openImageStore();
    const files: Files = new Map();
    const [a, b] = [addImage(files, [await layerOf('a', 'a')]), addImage(files, [await layerOf('b', 'b')])];
    setIndex(files, [named(a, 'docker.io/library/a:1'), named(b, 'quay.io/b:2'), named(a, 'docker.io/library/a:latest')]);
    const loaded = await load(store, await archiveOf(files));
    expect(loaded.map(({ names }) => names)).toEqual([['docker.io/library/a:1', 'docker.io/library/a:latest'], ['quay.io/b:2']]);
    await expect(load(store, await archiveOf(files), { names: ['x'] })).rejects.toThrow(
      'has 2 images: one name does not fit them all',
    );
  });

  test('a name of the caller takes the place of those in the archive', async () => {
    const store = await openImageStore();
    const [image] = await load(store, await archiveOf(await layout()), { names: ['other:1'] });
    expect(image?.names).toEqual(['docker.io/library/other:1']);
    expect(store.images.find('app')).toBeUndefined();
  });

  test('a tag alone is no name, a whole name in its place is', async () => {
    const store = await openImageStore();
    const files: Files = new Map();
    const image = addImage(files, []);
    const called = (name: string) => ({ ...image, annotations: { 'org.opencontainers.image.ref.name': name } });
    setIndex(files, [called('latest')]);
    expect((await load(store, await archiveOf(files)))[0]?.names).toEqual([]);
    setIndex(files, [called('quay.io/team/app:1')]);
    expect((await load(store, await archiveOf(files)))[0]?.names).toEqual(['quay.io/team/app:1']);
    setIndex(files, [called('Not: A Name')]);
    expect((await load(store, await archiveOf(files)))[0]?.names).toEqual(['quay.io/team/app:1']);
  });

  const forPlatforms = async (nested: boolean): Promise<Buffer> => {
    const files: Files = new Map();
    const platforms = [{ os: 'linux', architecture: 'arm64' }, amd64, { os: 'unknown', architecture: 'unknown' }];
    const images = platforms.map((platform) => ({ ...addImage(files, [], configOf([], platform)), platform }));
    const index = () => addBlob(files, INDEX_TYPE, JSON.stringify({ schemaVersion: 2, manifests: images }));
    return archiveOf(
      setIndex(
        files,
        nested
          ? [named(index(), 'docker.io/library/app:latest')]
          : images.map((image) => named(image, 'docker.io/library/app:latest')),
      ),
    );
  };

  test.each([[true], [false]])('the image of the wanted platform (in a nested index: %s)', async (nested) => {
    const store = await openImageStore();
    const [image, ...others] = await load(store, await forPlatforms(nested), {
      platform: { os: 'linux', architecture: 'arm64' },
    });
    expect(others).toEqual([]);
    expect(image?.config.architecture).toBe('arm64');
    const loading = load(store, await forPlatforms(nested), { platform: { os: 'linux', architecture: 's390x' } });
    await expect(loading).rejects.toThrow('has no image for linux/s390x: it has linux/arm64, linux/amd64');
  });
});

test('a single image is loaded whatever it is for, unless its platform is asked for', async () => {
  const store = await openImageStore();
  const files: Files = new Map();
  const bytes = await archiveOf(setIndex(files, [addImage(files, [], configOf([], { os: 'linux', architecture: 's390x' }))]));
  const loading = load(store, bytes, { platform: amd64 });
  await expect(loading).rejects.toThrow(/is for linux\/s390x, not for linux\/amd64/);
  expect((await load(store, bytes))[0]?.config.architecture).toBe('s390x');
});

describe('what is here already', () => {
  test('is not unpacked again, and its blob is kept if it was not', async () => {
    const store = await openImageStore();
    await load(store, await archiveOf(await oldDockerArchive()));
    expect(blobsOf(store)).toHaveLength(1);
    const calls: string[] = [];
    const { serve } = store.place;
    const call: typeof serve.call = (op, fields) => {
      calls.push(op);
      return serve.call(op, fields);
    };
    await load({ ...store, place: { ...store.place, serve: { ...serve, call } } }, await archiveOf(await layout()));
    expect(calls).toEqual(['sha256']);
    expect(store.place.layers.all()).toHaveLength(1);
    expect(blobsOf(store)).toHaveLength(3);
  });

  test('a layer that is its own blob is not kept twice', async () => {
    const store = await openImageStore();
    const layer = await layerOf('a', 'a');
    const files: Files = new Map();
    setIndex(files, [named(addImage(files, [layer], configOf([layer]), null), 'app')]);
    const [image] = await load(store, await archiveOf(files));
    expect(blobsOf(store)).not.toContain(hexOf(layer));
    // And yet the manifest survives.
    const again = await openImageStore();
    const [second] = await load(again, await save(store, ['app']));
    expect(second?.manifest).toBe(image?.manifest);
  });

  test('goes with the image: layers, blobs, names', async () => {
    const store = await openImageStore();
    await load(store, await archiveOf(await layout()));
    store.images.remove('app', { force: false });
    expect(blobsOf(store)).toEqual([]);
    expect(readdirSync(store.place.store.path('layers'))).toEqual([]);
  });
});

describe('directories that a layer only passes through', () => {
  const base = () =>
    tarOf([
      { name: './', type: 'directory', mode: 0o711 },
      { name: 'tmp/', type: 'directory', mode: 0o1777 },
      { name: 'root/', type: 'directory', mode: 0o700, uid: 7 },
    ]);
  const attributes = (store: ImageStore, id: Digest) =>
    ['', 'tmp', 'root', 'new'].map((name) => {
      const entry = store.place.layers.index(id).find(name);
      return `${name} ${entry?.mode.toString(8)} ${entry?.uid}`;
    });

  test('keep the attributes of what lies below, and the layer its diff ID', async () => {
    const store = await openImageStore();
    const above = await tarOf([
      { name: 'tmp/x', content: 'x' },
      { name: 'root/y', content: 'y' },
      { name: 'new/z', content: 'z' },
    ]);
    const [image] = await load(store, await archiveOf(await oldDockerArchive([await base(), above])));
    const [, top] = image?.layers as [Digest, Digest];
    expect(attributes(store, top)).toEqual([' 711 0', 'tmp 1777 0', 'root 700 7', 'new 755 0']);
    const layer = store.place.layers.get(top)!;
    expect(store.place.layers.readFile(layer as PresentLayer, 'tmp/x').toString()).toBe('x');
    expect(await store.place.layers.writeTar(layer as PresentLayer, { compression: 'none' })).toMatchObject({
      diffId: hexOf(above),
    });
    expect(
      (
        await store.place.serve.call('verify', {
          index: store.place.layers.indexPath(top),
          data: store.place.layers.dataPath(layer as PresentLayer),
        })
      ).problems,
    ).toEqual([]);
  });

  test('make two layers of one tar where it lies over two bases, and find each again', async () => {
    const store = await openImageStore();
    const above = await tarOf([{ name: 'tmp/x', content: 'x' }]);
    const other = await tarOf([{ name: 'tmp/', type: 'directory', mode: 0o700 }]);
    const [first] = await load(store, await archiveOf(await oldDockerArchive([await base(), above])));
    const [second] = await load(store, await archiveOf(await oldDockerArchive([other, above])));
    expect(first?.layers[1]).not.toBe(second?.layers[1]);
    expect(attributes(store, second?.layers[1] as Digest)[1]).toBe('tmp 700 0');
    const [again] = await load(store, await archiveOf(await oldDockerArchive([other, above])));
    expect(again?.layers).toEqual(second?.layers);
    expect(store.place.layers.all()).toHaveLength(4);
    expect(store.place.layers.strays()).toEqual([]);
  });
});

describe('save', () => {
  test('gives a loaded image out with the manifest it came with', async () => {
    const store = await openImageStore();
    const files = await layout();
    const [image] = await load(store, await archiveOf(files));
    const saved = await openImageStore();
    const [again] = await load(saved, await save(store, ['app']));
    expect(again).toMatchObject({ id: image?.id, manifest: image?.manifest, names: ['docker.io/library/app:latest'] });
    expect(blobsOf(saved)).toEqual(blobsOf(store));
  });

  test('makes it anew when a blob of it is gone, or was damaged: same image, same layers', async () => {
    const store = await openImageStore();
    const [image] = await load(store, await archiveOf(await layout()));
    writeFileSync(store.images.blobs.path(image?.manifest as Digest), 'damaged');
    const [again] = await load(await openImageStore(), await save(store, ['app']));
    expect(again?.id).toBe(image?.id);
    store.images.blobs.remove(store.place.layers.all()[0]?.blob as Digest);
    const [third] = await load(await openImageStore(), await save(store, ['app']));
    expect(third?.id).toBe(image?.id);
  });

  test('a damaged layer blob is never written out', async () => {
    const store = await openImageStore();
    await load(store, await archiveOf(await layout()));
    const blob = store.images.blobs.path(store.place.layers.all()[0]?.blob as Digest);
    writeFileSync(blob, Buffer.alloc(readFileSync(blob).length));
    const target = path.join(folder, 'app.tar');
    await expect(save(store, ['app'], { destination: target })).rejects.toThrow(
      expect.objectContaining({ code: 'store/damaged' }),
    );
    expect(readdirSync(folder)).toEqual([]);
  });

  test.each([['oci'], ['docker']] as const)('equal images give equal bytes (%s)', async (format) => {
    const [first, second] = [await openImageStore(), await openImageStore()];
    for (const store of [first, second])
      await store.addImage([await store.addLayer({ a: 'a' }), await store.addLayer({ b: 'b' })], ['app']);
    const options = { format, compression: 'gzip' } as const;
    expect(hexOf(await save(first, ['app'], options))).toBe(hexOf(await save(second, ['app'], options)));
  });

  test.each([
    ['oci', 'none'],
    ['oci', 'gzip'],
    ['oci', 'zstd'],
    ['docker', 'none'],
    ['docker', 'gzip'],
  ] as const)('an image of ours goes round (%s, %s)', async (format, compression) => {
    const store = await openImageStore();
    const id = await store.addImage(
      [await store.addLayer({ a: 'a' }), await store.addLayer({ b: 'b' })],
      ['app', 'quay.io/app:2'],
    );
    const loaded = await load(await openImageStore(), await save(store, ['app', 'quay.io/app:2'], { format, compression }));
    expect(loaded.map((image) => [image.id, image.names])).toEqual([[id, ['docker.io/library/app:latest', 'quay.io/app:2']]]);
  });

  test('by ID an image is saved without a name', async () => {
    const store = await openImageStore();
    const id = await store.addImage([], ['app']);
    expect((await load(await openImageStore(), await save(store, [id], { format: 'docker' })))[0]?.names).toEqual([]);
  });

  test('a file appears whole or not at all, and takes the place of an old one', async () => {
    const store = await openImageStore();
    await store.addImage([await store.addLayer({ a: 'a' })], ['app']);
    const target = path.join(folder, 'app.tar');
    writeFileSync(target, 'old');
    await saveImages(store.place, store.images, ['app'], { format: 'oci', compression: 'none', destination: target });
    expect(readdirSync(folder)).toEqual(['app.tar']);
    expect((await loadImages(store.place, store.images, { input: { path: target } }))[0]?.names).toEqual([
      'docker.io/library/app:latest',
    ]);
    const nowhere = saveImages(store.place, store.images, ['app'], {
      format: 'oci',
      compression: 'none',
      destination: path.join(folder, 'no/app.tar'),
    });
    await expect(nowhere).rejects.toThrow(`cannot write ${path.join(folder, 'no/app.tar')}`);
  });

  test('a layout folder is added to; one that is none is refused', async () => {
    const store = await openImageStore();
    await store.addImage([await store.addLayer({ a: 'a' })], ['app:1']);
    await store.addImage([], ['app:2'], 'two');
    const target = path.join(folder, 'layout');
    const options = { format: 'oci', compression: 'gzip', destination: target, directory: true } as const;
    for (const name of ['app:1', 'app:2', 'app:1']) await saveImages(store.place, store.images, [name], options);
    const loaded = await loadImages(store.place, store.images, { input: { path: target } });
    expect(loaded.flatMap(({ names }) => names)).toEqual(['docker.io/library/app:2', 'docker.io/library/app:1']);
    writeFileSync(path.join(folder, 'mine'), '');
    await expect(saveImages(store.place, store.images, ['app:1'], { ...options, destination: folder })).rejects.toThrow(
      'is neither empty nor an OCI layout',
    );
  });
});
