// Every kind of damage that fsck knows, done to a store one by one.
import { appendFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { checkStore } from '../../../src/images/fsck.ts';
import type { Image } from '../../../src/images/image.ts';
import { loadImages } from '../../../src/images/load.ts';
import type { PresentLayer } from '../../../src/snapshots/layers.ts';
import { archiveOf, layout } from '../../support/archives.ts';
import { type ImageStore, openImageStore } from '../../support/image-store.ts';

const damages: readonly (readonly [string, RegExp, (store: ImageStore, image: Image) => void])[] = [
  [
    'a blob with other bytes',
    /the blob sha256:\w+ has the bytes of sha256:/,
    ({ images }, image) => appendFileSync(images.blobs.path(image.id), 'x'),
  ],
  [
    'a file among the blobs',
    /this is not named like a blob/,
    ({ place }) => writeFileSync(place.store.path('blobs/sha256/x'), ''),
  ],
  [
    'a file in a layer',
    /layer blake3:\w+: hello: /,
    ({ place }) => writeFileSync(place.store.path('layers', dataFolder(place), 'root/hello'), 'HELLO'),
  ],
  ['an index with other bytes', /./, ({ place }, image) => appendFileSync(place.layers.indexPath(image.layers[0]!), 'x')],
  ['a missing index', /lacks this file/, ({ place }, image) => rmSync(place.layers.indexPath(image.layers[0]!))],
  ['a missing framing', /lacks this file/, ({ place }, image) => rmSync(place.layers.splitPath(image.layers[0]!))],
  ['a missing layer', /the image sha256:\w+ lacks the layer blake3:/, ({ place }) => place.store.db.run('DELETE FROM layers')],
  [
    'a stray file among the layers',
    /no record accounts for this file/,
    ({ place }) => writeFileSync(place.store.path('layers/x.index'), ''),
  ],
  [
    'a folder of a dead process',
    /the process that owned this folder is gone/,
    ({ place }) => {
      mkdirSync(place.store.path('tmp/dead'));
      writeFileSync(place.store.path('tmp/dead/lock'), '');
    },
  ],
  ['a stray file in tmp', /no process owns this/, ({ place }) => writeFileSync(place.store.path('tmp/x'), '')],
];

test.each(damages)('finds %s', async (_, message, damage) => {
  const store = await openImageStore();
  const [image] = (await loadImages(store.place, store.images, {
    input: { stream: Readable.from([await archiveOf(await layout())]) },
  })) as Image[];
  expect(await checkStore(store.place)).toEqual({ images: 1, layers: 1, blobs: 3, problems: [] });
  damage(store, image!);
  const { problems } = await checkStore(store.place);
  expect(problems.map(({ what }) => what).join('\n')).toMatch(message);
  for (const { what, path, hint } of problems) {
    expect(`${what}${hint}`).not.toContain('\n');
    expect(path.startsWith(store.place.store.root)).toBe(true);
  }
});

test('finds a trace without its layer', async () => {
  const store = await openImageStore();
  const layer = await store.addLayer({ a: 'a' });
  store.place.store.db.run("INSERT INTO steps (key, record, created) VALUES ('k', '{}', 0)");
  store.place.store.db.run(
    "INSERT INTO traces (key, exact, trace, layer, created, duration) VALUES ('k', '', '{}', ?, 0, 0)",
    layer.id,
  );
  expect((await checkStore(store.place)).problems).toEqual([]);
  rmSync(store.place.layers.dataPath(layer as PresentLayer), { recursive: true });
  expect((await checkStore(store.place)).problems.map(({ what }) => what)).toContain(
    `the build cache lacks the layer ${layer.id}`,
  );
});

function dataFolder({ store }: ImageStore['place']): string {
  return readdirSync(store.path('layers')).find((name) => /^[0-9a-f]{64}$/.test(name)) as string;
}
