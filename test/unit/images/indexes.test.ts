// Images for several platforms under one name: loaded, found, named, saved and removed. Layers are real; none is mounted.
import { readFileSync } from 'node:fs';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { checkStore } from '../../../src/images/fsck.ts';
import type { Image, ImageIndex } from '../../../src/images/image.ts';
import { type LoadOptions, loadImages } from '../../../src/images/load.ts';
import { type SaveOptions, saveImages } from '../../../src/images/save.ts';
import {
  addBlob,
  addImage,
  archiveOf,
  configOf,
  digestOf,
  type Files,
  INDEX_TYPE,
  layerOf,
  named,
  setIndex,
} from '../../support/archives.ts';
import { type ImageStore, openImageStore } from '../../support/image-store.ts';

const host = { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : 'arm64' };
const other = { os: 'linux', architecture: 's390x' };
const attestation = { os: 'unknown', architecture: 'unknown' };

/** `app` for these platforms, with one layer that they share; `nested`: in an index of its own, as BuildKit writes it. */
async function archiveFor(platforms: readonly (typeof host)[], nested = true): Promise<Files> {
  const files: Files = new Map();
  const layer = await layerOf('hello', 'hello');
  const images = platforms.map((platform) => ({ ...addImage(files, [layer], configOf([layer], platform)), platform }));
  if (!nested)
    return setIndex(
      files,
      images.map((image) => named(image, 'docker.io/library/app:latest')),
    );
  const index = addBlob(
    files,
    INDEX_TYPE,
    JSON.stringify({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests: images }, null, 4),
  );
  return setIndex(files, [named(index, 'docker.io/library/app:latest')]);
}

const load = async ({ place, images }: ImageStore, files: Files, more: Partial<LoadOptions> = {}) =>
  loadImages(place, images, { input: { stream: Readable.from([await archiveOf(files)]) }, ...more });

async function save(
  { place, images }: ImageStore,
  names: readonly string[],
  options: Partial<SaveOptions> = {},
): Promise<Buffer> {
  const sink = new PassThrough();
  const saving = saveImages(place, images, names, { format: 'oci', compression: 'gzip', destination: sink, ...options });
  const [bytes] = await Promise.all([buffer(sink), saving]);
  return bytes;
}

const architectureOf = (store: ImageStore, name: string, platform?: typeof host) =>
  store.images.resolve(name, platform).config.architecture;

const layoutIndex = ({ place }: ImageStore) =>
  (JSON.parse(readFileSync(place.store.path('index.json'), 'utf8')) as { manifests: { digest: string }[] }).manifests;

describe('loading', () => {
  test.each([[true], [false]])('all platforms come in under one name (in a nested index: %s)', async (nested) => {
    const store = await openImageStore();
    const [index, ...more] = (await load(store, await archiveFor([other, host], nested))) as ImageIndex[];
    expect(more).toEqual([]);
    expect(index?.names).toEqual(['docker.io/library/app:latest']);
    expect(index?.images.map(({ platform }) => platform)).toEqual([other, host]);
    expect(architectureOf(store, 'app')).toBe(host.architecture);
    expect(architectureOf(store, 'app', other)).toBe('s390x');
    expect(() => store.images.resolve('app', { os: 'linux', architecture: 'riscv64' })).toThrow(
      `app has no image for linux/riscv64: it has linux/s390x, linux/${host.architecture}`,
    );
    expect(store.place.layers.all()).toHaveLength(1);
    expect((await checkStore(store.place)).problems).toEqual([]);
  });

  test('of what its index lists, what is not in the archive is left out', async () => {
    const store = await openImageStore();
    const files = await archiveFor([other, host, { os: 'linux', architecture: 'ppc64le' }]);
    const config = JSON.stringify(
      JSON.parse(configOf([await layerOf('hello', 'hello')], { os: 'linux', architecture: 'ppc64le' })),
    );
    files.delete(`blobs/sha256/${digestOf(config).slice(7)}`);
    const [index] = (await load(store, files)) as ImageIndex[];
    expect(index?.images.map(({ platform }) => platform)).toEqual([other, host]);
    // Its bytes speak of what is not here: the store's own index does not.
    expect(layoutIndex(store).map(({ digest }) => digest)).toEqual(index?.images.map(({ image }) => image.manifest).sort());
  });

  test('one image beside an attestation is an image, and so is one of which others are missing', async () => {
    const store = await openImageStore();
    const [image] = (await load(store, await archiveFor([host, attestation]))) as Image[];
    expect(image?.config.architecture).toBe(host.architecture);
    expect(store.images.resolveIndex('app')).toBeUndefined();
  });

  test('with a platform only its image comes in', async () => {
    const store = await openImageStore();
    await load(store, await archiveFor([other, host]), { platform: other });
    expect(store.images.list()).toHaveLength(1);
    expect(architectureOf(store, 'app')).toBe('s390x');
  });

  test('without one for this machine, the first is meant', async () => {
    const store = await openImageStore();
    await load(store, await archiveFor([other, { os: 'linux', architecture: 'ppc64le' }]));
    expect(architectureOf(store, 'app')).toBe('s390x');
  });
});

describe('names', () => {
  test('of an index are found by its digest, too', async () => {
    const store = await openImageStore();
    const [index] = (await load(store, await archiveFor([other, host]))) as ImageIndex[];
    for (const name of [index!.id, index!.id.slice(7, 19), `app@${index!.id}`]) {
      expect(store.images.resolveIndex(name)?.id).toBe(index!.id);
    }
    expect(layoutIndex(store)).toEqual([expect.objectContaining({ digest: index!.id })]);
  });

  test('a tag is for the index, one of an image in it for that alone', async () => {
    const store = await openImageStore();
    await load(store, await archiveFor([other, host]));
    store.images.tag('app', 'app:2');
    expect(store.images.resolveIndex('app:2')?.names).toEqual(['docker.io/library/app:2', 'docker.io/library/app:latest']);
    store.images.tag(store.images.resolve('app', other).id, 'single');
    expect(store.images.resolveIndex('single')).toBeUndefined();
    expect(architectureOf(store, 'single')).toBe('s390x');
  });

  test("what takes an index's name leaves it without", async () => {
    const store = await openImageStore();
    const [index] = (await load(store, await archiveFor([other, host]))) as ImageIndex[];
    const id = await store.addImage([], ['app']);
    expect(store.images.resolve('app').id).toBe(id);
    expect(store.images.resolveIndex('app')).toBeUndefined();
    expect(store.images.listTops().map((each) => [each.id, each.names.length])).toEqual([
      [index!.id, 0],
      [id, 1],
    ]);
  });
});

describe('removing', () => {
  test('the last name takes the index, its images and their layers', async () => {
    const store = await openImageStore();
    const [index] = (await load(store, await archiveFor([other, host]))) as ImageIndex[];
    store.images.tag('app', 'app:2');
    expect(store.images.remove('app:2', { force: false })).toEqual([{ untagged: 'docker.io/library/app:2' }]);
    const removed = store.images.remove('app', { force: false });
    expect(removed.slice(0, 2)).toEqual([{ untagged: 'docker.io/library/app:latest' }, { deleted: index!.id }]);
    expect(removed).toHaveLength(4);
    expect(await checkStore(store.place)).toEqual({ images: 0, layers: 0, blobs: 0, problems: [] });
  });

  test('an image of it with a name of its own stays; one without does not go before the index', async () => {
    const store = await openImageStore();
    await load(store, await archiveFor([other, host]));
    const { id } = store.images.resolve('app', other);
    expect(() => store.images.remove(id, { force: true })).toThrow(/is one of those that app:latest has for several platforms/);
    store.images.tag(id, 'kept');
    store.images.remove('app', { force: false });
    expect(store.images.list().map((image) => image.names)).toEqual([['docker.io/library/kept:latest']]);
    await load(store, await archiveFor([other, host]));
    expect(store.images.remove('kept', { force: false })).toEqual([{ untagged: 'docker.io/library/kept:latest' }]);
    expect(architectureOf(store, 'app', other)).toBe('s390x');
  });
});

describe('saving', () => {
  test('an index goes out with the bytes it came with', async () => {
    const [from, to] = [await openImageStore(), await openImageStore()];
    const [index] = (await load(from, await archiveFor([other, host]))) as ImageIndex[];
    const archive = await save(from, ['app']);
    const again = (await loadImages(to.place, to.images, { input: { stream: Readable.from([archive]) } })) as ImageIndex[];
    expect(again.map(({ id, names }) => [id, names])).toEqual([[index!.id, ['docker.io/library/app:latest']]]);
    expect(await save(to, ['app'])).toEqual(archive);
  });

  test('one of its platforms is an image', async () => {
    const [from, to] = [await openImageStore(), await openImageStore()];
    await load(from, await archiveFor([other, host]));
    for (const format of ['oci', 'docker'] as const) {
      const archive = await save(from, ['app'], { platform: other, format });
      await loadImages(to.place, to.images, { input: { stream: Readable.from([archive]) } });
      expect(architectureOf(to, 'app')).toBe('s390x');
      expect(to.images.resolveIndex('app')).toBeUndefined();
    }
    await expect(save(from, ['app'], { format: 'docker' })).rejects.toThrow(
      `app is there for linux/s390x, linux/${host.architecture}: an archive for docker holds one platform`,
    );
  });
});
