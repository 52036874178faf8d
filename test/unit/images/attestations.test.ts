// What is said of images beside them: kept with their index, written out with it, gone with it; and what is no attestation whatever it says.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { extract } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { encodeStatement, makeAttestation } from '../../../src/images/attestations.ts';
import { checkStore } from '../../../src/images/fsck.ts';
import type { Image, ImageIndex } from '../../../src/images/image.ts';
import { keepIndex } from '../../../src/images/keep-index.ts';
import { loadImages } from '../../../src/images/load.ts';
import { type SaveOptions, saveImages } from '../../../src/images/save.ts';
import {
  addBlob,
  addImage,
  archiveOf,
  type Descriptor,
  type Files,
  hexOf,
  INDEX_TYPE,
  layerOf,
  named,
  setIndex,
} from '../../support/archives.ts';
import { type ImageStore, openImageStore } from '../../support/image-store.ts';

const platform = { os: 'linux', architecture: 'amd64' };
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const IN_TOTO = 'application/vnd.in-toto+json';

/** As BuildKit writes one; spaces that no encoder of ours would write. */
function addAttestation(files: Files, image: Descriptor, layerType = IN_TOTO, content = 'provenance'): Descriptor {
  const subject = [{ name: '_', digest: { sha256: image.digest.slice(7) } }];
  const statement = JSON.stringify(
    { _type: 'https://in-toto.io/Statement/v0.1', predicateType: 'p', subject, predicate: { content } },
    null,
    3,
  );
  const layer = { ...addBlob(files, layerType, statement), annotations: { 'in-toto.io/predicate-type': 'p' } };
  const config = addBlob(files, 'application/vnd.oci.image.config.v1+json', JSON.stringify({ os: 'unknown', content }));
  const manifest = JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config, layers: [layer] }, null, 3);
  const annotations = { 'vnd.docker.reference.digest': image.digest, 'vnd.docker.reference.type': 'attestation-manifest' };
  const nowhere = { os: 'unknown', architecture: 'unknown' };
  return { ...addBlob(files, MANIFEST_TYPE, manifest), annotations, platform: nowhere } as Descriptor;
}

interface Attested {
  readonly files: Files;
  readonly image: Descriptor;
  readonly attestation: Descriptor;
  readonly index: Descriptor;
}

/** `app`, an index of an image and what is said of it. */
async function attested(layerType = IN_TOTO, content = 'provenance'): Promise<Attested> {
  const files: Files = new Map();
  const image = addImage(files, [await layerOf('hello', 'hello')]);
  const attestation = addAttestation(files, image, layerType, content);
  const manifests = [{ ...image, platform }, attestation];
  const index = addBlob(files, INDEX_TYPE, JSON.stringify({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests }, null, 4));
  return { files: setIndex(files, [named(index, 'docker.io/library/app:latest')]), image, attestation, index };
}

const load = async ({ place, images }: ImageStore, files: Files) =>
  loadImages(place, images, { input: { stream: Readable.from([await archiveOf(files)]) } });

async function save(
  { place, images }: ImageStore,
  options: Partial<SaveOptions> = {},
  name = 'app',
): Promise<Map<string, Buffer>> {
  const sink = new PassThrough();
  const saving = saveImages(place, images, [name], { format: 'oci', compression: 'gzip', destination: sink, ...options });
  const [bytes] = await Promise.all([buffer(sink), saving]);
  const reader = extract();
  reader.end(bytes);
  const files = new Map<string, Buffer>();
  for await (const entry of reader) files.set(entry.header.name, await buffer(entry as unknown as AsyncIterable<Buffer>));
  return files;
}

const json = (bytes: Uint8Array | string | undefined) => JSON.parse(Buffer.from(bytes ?? '').toString());
const blobOf = (files: Map<string, Buffer>, { digest }: { digest: string }) => files.get(`blobs/sha256/${digest.slice(7)}`);
/** Of a saved archive: the index that its only name stands for. */
const indexIn = (files: Map<string, Buffer>) => json(blobOf(files, json(files.get('index.json')).manifests[0]));

describe('what comes with an image', () => {
  test('is kept and goes out again, byte for byte', async () => {
    const store = await openImageStore();
    const { files, index } = await attested();
    const [loaded, ...more] = (await load(store, files)) as ImageIndex[];
    expect(more).toEqual([]);
    expect(loaded).toMatchObject({ id: index.digest, names: ['docker.io/library/app:latest'], images: [{ platform }] });
    const saved = await save(store);
    for (const [name, content] of files) if (name.startsWith('blobs/')) expect(saved.get(name)).toEqual(Buffer.from(content));
    expect(await checkStore(store.place)).toMatchObject({ problems: [] });
    const layout = json(readFileSync(store.place.store.path('index.json')));
    expect(layout.manifests).toMatchObject([{ digest: index.digest }]);
  });

  test('is no image', async () => {
    const store = await openImageStore();
    await load(store, (await attested()).files);
    expect(store.images.list()).toHaveLength(1);
    expect(store.images.listTops()).toHaveLength(1);
    expect(store.images.resolve('app').config.architecture).toBe('amd64');
    expect(() => store.images.resolve('app', { os: 'unknown', architecture: 'unknown' })).toThrow(
      'app has no image for unknown/unknown',
    );
  });

  test('goes with the last index that has it', async () => {
    const store = await openImageStore();
    const { files, attestation, image } = await attested();
    await load(store, files);
    const annotations = { note: 'another index' };
    const manifests = [{ ...image, platform }, attestation];
    const other = addBlob(files, INDEX_TYPE, JSON.stringify({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests, annotations }));
    await load(store, setIndex(files, [named(other, 'docker.io/library/other:latest')]));
    const blob = store.images.blobs.path(attestation.digest as `sha256:${string}`);
    store.images.remove('app', { force: false });
    expect(existsSync(blob)).toBe(true);
    store.images.remove('other', { force: false });
    expect(await checkStore(store.place)).toMatchObject({ images: 0, blobs: 0, problems: [] });
  });

  test('of an image that is written in another way is left out', async () => {
    const store = await openImageStore();
    await load(store, (await attested()).files);
    const saved = await save(store, { format: 'docker', compression: 'none' });
    expect(indexIn(saved).manifests).toHaveLength(1);
    expect(json(saved.get('manifest.json'))).toMatchObject([{ RepoTags: ['app:latest'] }]);
  });
});

test('what an index from outside calls a statement does not go with it when it is part of an image', async () => {
  const store = await openImageStore();
  const { files, image } = await attested();
  await load(store, setIndex(new Map(files), [named(image, 'docker.io/library/victim:latest')]));
  const whole = readdirSync(store.place.store.path('blobs/sha256'));
  const own = json(files.get(`blobs/sha256/${image.digest.slice(7)}`));
  const layers = [own.layers[0], own.config, image].map((part) => ({ ...part, mediaType: IN_TOTO }));
  const manifest = addBlob(
    files,
    MANIFEST_TYPE,
    JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config: own.config, layers }),
  );
  const said = {
    ...manifest,
    annotations: { 'vnd.docker.reference.digest': image.digest, 'vnd.docker.reference.type': 'attestation-manifest' },
    platform: { os: 'unknown', architecture: 'unknown' },
  };
  const manifests = [{ ...image, platform }, said];
  const index = addBlob(files, INDEX_TYPE, JSON.stringify({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests }));
  await load(store, setIndex(files, [named(index, 'docker.io/library/hostile:latest')]));
  store.images.remove('hostile', { force: false });
  expect(readdirSync(store.place.store.path('blobs/sha256'))).toEqual(whole);
});

describe('what is no attestation is left out, and the image is one as any', () => {
  test.each([
    ['layers of files', async () => (await attested('application/vnd.oci.image.layer.v1.tar')).files],
    [
      'a statement that is not there',
      async () => {
        const { files, attestation } = await attested();
        const manifest = json(files.get(`blobs/sha256/${attestation.digest.slice(7)}`));
        files.delete(`blobs/sha256/${manifest.layers[0].digest.slice(7)}`);
        return files;
      },
    ],
    [
      'of another image',
      async () => {
        const { files, image } = await attested();
        const stranger = addAttestation(files, { ...image, digest: `sha256:${hexOf('stranger')}` });
        const manifests = [{ ...image, platform }, stranger];
        const index = addBlob(files, INDEX_TYPE, JSON.stringify({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests }));
        return setIndex(files, [named(index, 'docker.io/library/app:latest')]);
      },
    ],
  ])('%s', async (_, make) => {
    const store = await openImageStore();
    const [loaded] = await load(store, await make());
    expect(loaded).toHaveProperty('config');
    expect(store.images.resolveIndex('app')).toBeUndefined();
  });

  test('a statement with other bytes than its digest says is an error', async () => {
    const store = await openImageStore();
    const { files, attestation } = await attested();
    const name = `blobs/sha256/${json(files.get(`blobs/sha256/${attestation.digest.slice(7)}`)).layers[0].digest.slice(7)}`;
    files.set(name, Buffer.from(files.get(name) as string).fill(0x20, 0, 1));
    await expect(load(store, files)).rejects.toThrow('has other bytes than its digest says');
    expect(store.images.list()).toEqual([]);
  });
});

describe('what is said of an image of ours', () => {
  async function build(store: ImageStore, a = 1): Promise<ImageIndex> {
    const layer = await store.addLayer({ hello: 'hello' });
    const image = store.images.get(await store.addImage([layer], [])) as Image;
    return keepIndex(store.place, store.images, [{ platform, image }], ['app'], (_, manifest) => {
      const subjects = [{ name: 'pkg:docker/app@latest', digest: manifest }];
      return makeAttestation(manifest, [{ type: 'p', bytes: encodeStatement(subjects, { type: 'p', content: { a } }) }]);
    });
  }

  test.each([
    ['oci', 'gzip'],
    ['oci', 'none'],
    ['oci', 'zstd'],
    ['docker', 'none'],
  ] as const)('is of the manifest that is written: %s, %s', async (format, compression) => {
    const store = await openImageStore();
    await build(store);
    const saved = await save(store, { format, compression });
    const [image, attestation] = indexIn(saved).manifests;
    expect(attestation).toMatchObject({
      platform: { os: 'unknown', architecture: 'unknown' },
      annotations: { 'vnd.docker.reference.type': 'attestation-manifest', 'vnd.docker.reference.digest': image.digest },
    });
    const manifest = json(blobOf(saved, attestation));
    expect(json(blobOf(saved, manifest.layers[0]))).toEqual({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ name: 'pkg:docker/app@latest', digest: { sha256: image.digest.slice(7) } }],
      predicateType: 'p',
      predicate: { a: 1 },
    });
    expect(json(blobOf(saved, manifest.config)).rootfs.diff_ids).toEqual([manifest.layers[0].digest]);
  });

  test('comes back whole, also into the store that it came from', async () => {
    const store = await openImageStore();
    await build(store);
    const saved = await save(store);
    for (const target of [store, await openImageStore()]) {
      await load(target, new Map(saved));
      expect([...(await save(target)).keys()]).toEqual([...saved.keys()]);
    }
  });

  test('survives that the image was loaded since, with a manifest of its own', async () => {
    const store = await openImageStore();
    store.images.tag((await build(store)).id, 'built');
    await load(store, new Map(await save(store)));
    const saved = await save(store, {}, 'built');
    expect(indexIn(saved).manifests).toHaveLength(2);
    expect(await checkStore(store.place)).toMatchObject({ problems: [] });
  });

  test('that is no statement is left out where it would have to be changed', async () => {
    const store = await openImageStore();
    const image = store.images.get(await store.addImage([await store.addLayer({ hello: 'hello' })], [])) as Image;
    const said = ['{', 'null', '{"predicateType":"p","subject":1}', '{"predicateType":"p","subject":[null]}'];
    await keepIndex(store.place, store.images, [{ platform, image }], ['app'], (_, manifest) =>
      makeAttestation(
        manifest,
        said.map((text) => ({ type: 'p', bytes: Buffer.from(text) })),
      ),
    );
    expect(indexIn(await save(store, { compression: 'none' })).manifests).toHaveLength(2);
    expect(indexIn(await save(store, { compression: 'gzip' })).manifests).toHaveLength(1);
  });

  test('and is missing is found by fsck, and the image saved without it', async () => {
    const store = await openImageStore();
    await build(store);
    const [manifest] = readdirSync(store.place.store.path('blobs/sha256'));
    rmSync(store.place.store.path('blobs/sha256', manifest as string));
    const { problems } = await checkStore(store.place);
    expect(problems.map(({ what }) => what)).toEqual([
      expect.stringMatching(/^of what the index sha256:\S+ says of its images the blob/),
    ]);
    expect(indexIn(await save(store)).manifests).toHaveLength(1);
    await build(store);
    expect(indexIn(await save(store)).manifests).toHaveLength(2);
  });

  test('takes the place of what was said of the same image before', async () => {
    const store = await openImageStore();
    await build(store, 1);
    await build(store, 2);
    expect(store.images.listTops()).toHaveLength(1);
    const saved = await save(store);
    const manifest = json(blobOf(saved, indexIn(saved).manifests[1]));
    expect(json(blobOf(saved, manifest.layers[0])).predicate).toEqual({ a: 2 });
    expect(readdirSync(store.place.store.path('blobs/sha256'))).toHaveLength(3);
    const [image] = store.images.list() as [Image];
    store.images.put({ config: Buffer.from(image.configText), layers: store.place.layers.all(), names: ['app'] });
    expect(store.images.listTops()).toMatchObject([{ id: image.id }]);
    expect(readdirSync(store.place.store.path('blobs/sha256'))).toEqual([]);
  });
});
