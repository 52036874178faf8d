// The rules by which images are found, named and removed. Layers are real; none is mounted.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Digest } from '../../../src/base/digest.ts';
import type { TbuildError } from '../../../src/base/errors.ts';
import { imageHistory, inspectImage } from '../../../src/images/describe.ts';
import { encodeManifest, mediaTypes } from '../../../src/oci/descriptor.ts';
import type { PresentLayer } from '../../../src/snapshots/layers.ts';
import { configOf, openImageStore } from '../../support/image-store.ts';

const failing = (code: string) => expect.objectContaining({ code });
const hex = (digest: Digest) => digest.slice('sha256:'.length);

describe('resolve', () => {
  test('finds by every way of writing a name or an ID', async () => {
    const { images, addImage } = await openImageStore();
    const id = await addImage([], ['app']);
    for (const text of [
      'app',
      'app:latest',
      'library/app',
      'docker.io/library/app',
      id,
      hex(id),
      hex(id).slice(0, 12),
      id.slice(0, 20),
    ])
      expect(images.resolve(text).id, text).toBe(id);
    expect(images.find('other')).toBeUndefined();
  });

  test('a name wins over the beginning of an ID', async () => {
    const { images, addImage } = await openImageStore();
    const first = await addImage([], ['app']);
    const second = await addImage([], [hex(first).slice(0, 6)], 'second');
    expect(images.resolve(hex(first).slice(0, 6)).id).toBe(second);
    expect(images.resolve(hex(first).slice(0, 7)).id).toBe(first);
  });

  test('a beginning that several IDs share is refused', async () => {
    const { images, addImage } = await openImageStore();
    const ids: Digest[] = [];
    for (let n = 0; n < 17; n++) ids.push(await addImage([], [], String(n)));
    const first = ids.find((id) => ids.some((other) => other !== id && hex(other)[0] === hex(id)[0]));
    expect(() => images.resolve(hex(first as Digest)[0] as string)).toThrow(failing('image/ambiguous'));
  });

  test('an unknown name is told with the nearest there is', async () => {
    const { images, addImage } = await openImageStore();
    await addImage([], ['quay.io/team/frontend:1.2']);
    const error = capture(() => images.resolve('quay.io/team/frontned'));
    expect(error.message).toBe('no image named quay.io/team/frontned here');
    expect(error.hint).toBe('did you mean quay.io/team/frontend:1.2?');
    expect(capture(() => images.resolve('zzz')).hint).toMatch(/^tbuild images lists what is here/);
  });

  test('by digest: alone, and with the repository it was loaded under', async () => {
    const { images, place } = await openImageStore();
    const config = configOf([]);
    const manifest = images.blobs.write(
      encodeManifest({ mediaType: mediaTypes.config, digest: images.blobs.write(config), size: config.length }, []),
    );
    const { id } = images.put({ config, layers: [], names: ['app:1'], manifest });
    expect(images.resolve(`app@${manifest}`).id).toBe(id);
    expect(images.resolve(`app:9@${manifest}`).id).toBe(id);
    expect(images.resolve(manifest).id).toBe(id);
    expect(() => images.resolve(`other@${manifest}`)).toThrow(failing('image/unknown'));
    expect(inspectImage(images.resolve('app:1')).RepoDigests).toEqual([`app@${manifest}`]);
    const index = JSON.parse(readFileSync(place.store.path('index.json'), 'utf8'));
    expect(index.manifests[0]).toMatchObject({
      digest: manifest,
      annotations: { 'io.containerd.image.name': 'docker.io/library/app:1' },
    });
    images.remove('app:1', { force: false });
    expect(JSON.parse(readFileSync(place.store.path('index.json'), 'utf8')).manifests).toEqual([]);
    expect(images.blobs.has(manifest)).toBe(false);
  });

  test('what is no reference at all is said to be so', async () => {
    const { images } = await openImageStore();
    expect(() => images.resolve('Not An Image')).toThrow(failing('image/bad-reference'));
  });
});

test('a name moves to the newest image, and the old one stays without', async () => {
  const { images, addImage } = await openImageStore();
  const old = await addImage([], ['app']);
  const fresh = await addImage([], ['app'], 'new');
  expect(images.resolve('app').id).toBe(fresh);
  expect(images.get(old)?.names).toEqual([]);
});

test('the same config is the same image', async () => {
  const { images, addImage } = await openImageStore();
  const first = await addImage([], ['a']);
  expect(await addImage([], ['b'])).toBe(first);
  expect(images.list()).toHaveLength(1);
  expect(images.get(first)?.names).toEqual(['docker.io/library/a:latest', 'docker.io/library/b:latest']);
});

test('an image whose layer is gone is not kept', async () => {
  const { images, place, addLayer } = await openImageStore();
  const layer = await addLayer({ a: 'a' });
  rmSync(place.layers.dataPath(layer as PresentLayer), { recursive: true });
  expect(() => images.put({ config: configOf([]), layers: [layer], names: ['x'] })).toThrow(failing('store/layer-gone'));
  expect(images.list()).toEqual([]);
});

test('tag: another name for the same image; never a digest', async () => {
  const { images, addImage } = await openImageStore();
  const id = await addImage([], ['app']);
  expect(images.tag('app', 'localhost:5000/app:v1').names).toEqual(['docker.io/library/app:latest', 'localhost:5000/app:v1']);
  expect(() => images.tag('app', `app@${id}`)).toThrow(failing('image/bad-reference'));
  expect(() => images.tag('nothing', 'x')).toThrow(failing('image/unknown'));
});

describe('remove', () => {
  test('takes a name away; the image goes with its last', async () => {
    const { images, place, addImage, addLayer } = await openImageStore();
    const layer = await addLayer({ a: 'a' });
    const id = await addImage([layer], ['app', 'other']);
    expect(images.remove('app', { force: false })).toEqual([{ untagged: 'docker.io/library/app:latest' }]);
    expect(place.layers.get(layer.id)).toBeDefined();
    expect(images.remove('other', { force: false })).toEqual([{ untagged: 'docker.io/library/other:latest' }, { deleted: id }]);
    expect(place.layers.get(layer.id)).toBeUndefined();
    expect(existsSync(place.layers.indexPath(layer.id))).toBe(false);
  });

  test('by ID with several names needs force', async () => {
    const { images, addImage } = await openImageStore();
    const id = await addImage([], ['app', 'other']);
    expect(() => images.remove(hex(id).slice(0, 12), { force: false })).toThrow('has several names: app:latest, other:latest');
    expect(images.resolve('app').names).toHaveLength(2);
    expect(images.remove(hex(id).slice(0, 12), { force: true })).toHaveLength(3);
    expect(images.list()).toEqual([]);
  });

  test('by ID with one name, or none, needs none', async () => {
    const { images, addImage } = await openImageStore();
    const named = await addImage([], ['app']);
    const dangling = await addImage([], [], 'x');
    expect(images.remove(named, { force: false })).toEqual([{ untagged: 'docker.io/library/app:latest' }, { deleted: named }]);
    expect(images.remove(dangling, { force: false })).toEqual([{ deleted: dangling }]);
  });

  test('keeps layers that another image or the build cache uses', async () => {
    const { images, place, addImage, addLayer } = await openImageStore();
    const [shared, cached, own] = [await addLayer({ a: 'a' }), await addLayer({ b: 'b' }), await addLayer({ c: 'c' })];
    await addImage([shared, cached, own], ['app']);
    await addImage([shared], ['base'], 'base');
    place.store.db.run("INSERT INTO steps (key, record, created) VALUES ('k', '{}', 0)");
    place.store.db.run(
      "INSERT INTO traces (key, exact, trace, layer, created, duration) VALUES ('k', '', '{}', ?, 0, 0)",
      cached.id,
    );
    images.remove('app', { force: false });
    expect([shared, cached, own].map(({ id }) => place.layers.get(id) !== undefined)).toEqual([true, true, false]);
  });

  test('of what is not here changes nothing', async () => {
    const { images, addImage } = await openImageStore();
    await addImage([], ['app']);
    expect(() => images.remove('nope', { force: true })).toThrow(failing('image/unknown'));
    expect(images.list()).toHaveLength(1);
  });
});

test("inspect and history in docker's shapes", async () => {
  const { images, place, addLayer, addImage } = await openImageStore();
  await addImage([await addLayer({ a: 'four' }), await addLayer({ b: 'sixsix' })], ['app']);
  const image = images.resolve('app');
  expect(inspectImage(image)).toMatchObject({
    Id: image.id,
    RepoTags: ['app:latest'],
    RepoDigests: [],
    Created: '2026-01-01T00:00:00Z',
    Config: { Labels: { label: '' } },
    Architecture: 'amd64',
    Os: 'linux',
    Size: 10,
    RootFS: { Type: 'layers', Layers: image.config.rootfs.diff_ids },
  });
  expect(imageHistory(image, place.layers)).toEqual([
    { id: image.id, created: '2026-01-01T00:00:00Z', createdBy: 'layer 1', sizeBytes: 6, comment: '' },
    { id: undefined, created: '2026-01-01T00:00:00Z', createdBy: 'layer 0', sizeBytes: 4, comment: '' },
  ]);
});

function capture(work: () => unknown): TbuildError {
  try {
    work();
  } catch (error) {
    return error as TbuildError;
  }
  throw new Error('it did not throw');
}
