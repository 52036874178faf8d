// Archives that are broken, or made to break something: each is refused in words that name the fault, and leaves the store as it was.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { loadImages } from '../../../src/images/load.ts';
import {
  addBlob,
  addImage,
  archiveOf,
  configOf,
  digestOf,
  type Entry,
  type Files,
  hexOf,
  INDEX_TYPE,
  layerOf,
  layout,
  oldDockerArchive,
  setIndex,
  tarOf,
  writeFiles,
} from '../../support/archives.ts';
import { type ImageStore, openImageStore } from '../../support/image-store.ts';

const outside = path.join(tmpdir(), 'tbuild-escaped');
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';

type Case = readonly [what: string, code: string, message: RegExp, make: () => Promise<Buffer>];

const withEntries =
  (entries: readonly Entry[], make: () => Promise<Files> = layout) =>
  async () =>
    tarOf([...entries, ...[...(await make())].map(([name, content]) => ({ name, content }))]);

const bent =
  (bend: (files: Files) => void, make: () => Promise<Files> = layout) =>
  async () => {
    const files = await make();
    bend(files);
    return archiveOf(files);
  };

/** The gzipped one. */
const layerBlob = (files: Files) => [...files].find(([, content]) => content[0] === 0x1f)?.[0] as string;

const cases: readonly Case[] = [
  [
    'a path that climbs out',
    'image/bad-archive',
    /an entry leads out of it: \.\.\/\.\.\/tbuild-escaped/,
    withEntries([{ name: '../../tbuild-escaped', content: 'x' }]),
  ],
  [
    'an absolute path',
    'image/bad-archive',
    /an entry leads out of it: \/tmp\/tbuild-escaped/,
    withEntries([{ name: '/tmp/tbuild-escaped', content: 'x' }]),
  ],
  [
    'a path that climbs out by its middle',
    'image/bad-archive',
    /leads out of it/,
    withEntries([{ name: 'blobs/../../x', content: 'x' }]),
  ],
  [
    'a symlink out',
    'image/bad-archive',
    /the link index.json leads out of it/,
    withEntries([{ name: 'index.json', type: 'symlink', linkname: '../../etc/passwd' }]),
  ],
  [
    'an absolute symlink',
    'image/bad-archive',
    /the link x leads out of it, to \/etc\/passwd/,
    withEntries([{ name: 'x', type: 'symlink', linkname: '/etc/passwd' }]),
  ],
  [
    'a hard link out',
    'image/bad-archive',
    /leads out of it/,
    withEntries([{ name: 'x', type: 'link', linkname: '../../../etc/passwd' }]),
  ],
  [
    'a symlink to itself',
    'image/bad-archive',
    /the link manifest.json leads in circles/,
    withEntries([{ name: 'manifest.json', type: 'symlink', linkname: 'manifest.json' }]),
  ],
  [
    'a device',
    'image/bad-archive',
    /dev is a block-device/,
    withEntries([{ name: 'dev', type: 'block-device', devmajor: 8, devminor: 0 }]),
  ],
  ['a FIFO', 'image/bad-archive', /pipe is a fifo/, withEntries([{ name: 'pipe', type: 'fifo' }])],
  [
    'two different files of one name',
    'image/bad-archive',
    /two different files named index.json/,
    withEntries([{ name: './index.json', content: '{}' }]),
  ],
  [
    'a file where a link was',
    'image/bad-archive',
    /two different files named index.json/,
    withEntries([{ name: 'index.json', type: 'symlink', linkname: 'x' }]),
  ],
  ['nothing at all', 'image/bad-archive', /it is empty/, async () => Buffer.alloc(0)],
  ['an empty tar', 'image/bad-archive', /neither an oci-layout nor a manifest.json/, async () => Buffer.alloc(1024)],
  ['what is no tar', 'image/bad-archive', /is damaged, or no image archive/, async () => Buffer.alloc(4096, 'no tar at all ')],
  ['a gzip of nothing', 'image/bad-archive', /neither an oci-layout|is damaged/, async () => gzipSync('')],
  [
    'a damaged gzip',
    'image/bad-archive',
    /is damaged/,
    async () => Buffer.concat([gzipSync(await archiveOf(await layout())).subarray(0, 100), Buffer.alloc(500, 7)]),
  ],
  [
    'an archive cut within a file',
    'image/bad-archive',
    /is damaged/,
    async () => (await archiveOf(await layout())).subarray(0, 700),
  ],
  [
    'an archive cut between files',
    'image/bad-archive',
    /missing|neither/,
    async () => (await archiveOf(await layout())).subarray(0, 1024),
  ],
  ['a cut gzip', 'image/bad-archive', /is damaged/, async () => gzipSync(await archiveOf(await layout())).subarray(0, -20)],
  ['bzip2', 'unsupported/compression', /bzip2 or xz/, async () => execFileSync('bzip2', { input: 'x' })],
  ['a pax header of 5 MB', 'image/bad-archive', /is damaged/, async () => hugePaxHeader()],
  ['a directory with contents', 'image/bad-archive', /the directory d has contents/, async () => directoryWithSize()],
  [
    'a missing layer',
    'image/bad-archive',
    /the blob sha256:[0-9a-f]{64} is missing/,
    bent((files) => void files.delete(layerBlob(files))),
  ],
  [
    'a layer of another size',
    'image/bad-archive',
    /has 1 bytes, its descriptor says/,
    bent((files) => void files.set(layerBlob(files), 'x')),
  ],
  [
    'a layer of other bytes',
    'image/bad-layer|image/wrong-blob',
    /./,
    bent((files) => void files.set(layerBlob(files), Buffer.alloc(files.get(layerBlob(files))?.length ?? 0))),
  ],
  [
    'a manifest of other bytes',
    'image/bad-archive',
    /has other bytes than its digest says/,
    bent((files) => bendManifest(files)),
  ],
  ['no index.json', 'image/bad-archive', /index.json is missing/, bent((files) => void files.delete('index.json'))],
  [
    'an index.json that is a manifest',
    'image/bad-archive',
    /its index.json is no index/,
    bent((files) => void files.set('index.json', manifestOf(files))),
  ],
  [
    'an index.json that is no JSON',
    'image/bad-document',
    /index.json is not JSON/,
    bent((files) => void files.set('index.json', '{')),
  ],
  ['an index of no images', 'image/bad-archive', /there is no image in it/, bent((files) => void setIndex(files, []))],
  [
    'a layout of the future',
    'image/bad-archive',
    /has the version 2.0.0/,
    bent((files) => void files.set('oci-layout', '{"imageLayoutVersion":"2.0.0"}')),
  ],
  [
    'a huge index.json',
    'image/bad-archive',
    /index.json has 5000000 bytes, more than/,
    bent((files) => void files.set('index.json', Buffer.alloc(5_000_000, ' '))),
  ],
  [
    'a huge manifest',
    'image/bad-archive',
    /has 5000000 bytes, more than the 4194304 allowed/,
    bent((files) => void setIndex(files, [addBlob(files, MANIFEST_TYPE, Buffer.alloc(5_000_000, ' '))])),
  ],
  [
    'a huge config',
    'image/bad-archive',
    /more than the 8388608 allowed/,
    bent((files) => void setIndex(files, [addImage(files, [], ' '.repeat(9_000_000))])),
  ],
  ['indexes nested too deep', 'image/bad-archive', /nested more than 4 deep/, bent((files) => nestIndexes(files, 6))],
  [
    'an index read as a manifest',
    'image/bad-archive',
    /is not of the media type/,
    bent(
      (files) =>
        void setIndex(files, [{ ...addBlob(files, INDEX_TYPE, '{"schemaVersion":2,"manifests":[]}'), mediaType: MANIFEST_TYPE }]),
    ),
  ],
  ['an artifact', 'image/not-an-image', /its config has the type application\/vnd.example/, bent((files) => artifact(files))],
  [
    'more layers than diff IDs',
    'image/bad-archive',
    /it has 1 layers, its config speaks of 0/,
    async () => {
      const files: Files = new Map();
      const layer = await layerOf('a', 'a');
      return archiveOf(setIndex(files, [addImage(files, [layer], configOf([]))]));
    },
  ],
  [
    "a diff ID that is not the layer's",
    'image/wrong-layer',
    /the layer that should be sha256:[0-9a-f]{64} is sha256:/,
    async () => {
      const files: Files = new Map();
      return archiveOf(setIndex(files, [addImage(files, [await layerOf('a', 'a')], configOf([await layerOf('b', 'b')]))]));
    },
  ],
  [
    'docker: a missing layer',
    'image/bad-archive',
    /its layer [0-9a-f]{64}\/layer.tar is missing/,
    bent((files) => void files.delete([...files.keys()].find((name) => name.endsWith('layer.tar')) as string), oldDockerArchive),
  ],
  [
    'docker: a config of another digest',
    'image/bad-archive',
    /has other bytes than its name says/,
    bent(
      (files) => void files.set([...files.keys()].find((name) => /^[0-9a-f]{64}\.json$/.test(name)) as string, configOf([])),
      oldDockerArchive,
    ),
  ],
  [
    'docker: a config outside',
    'image/bad-archive',
    /etc\/passwd is missing/,
    bent((files) => void files.set('manifest.json', '[{"Config":"../../etc/passwd","Layers":[]}]'), oldDockerArchive),
  ],
  [
    'docker: a name that is none',
    'image/bad-reference',
    /invalid image reference "UPPER"/,
    bent((files) => void files.set('manifest.json', '[{"Config":"x","RepoTags":["UPPER"],"Layers":[]}]'), oldDockerArchive),
  ],
  [
    'docker: a layer with a path that climbs out',
    'image/bad-layer',
    /./,
    async () => archiveOf(await oldDockerArchive([await layerOf('../../tbuild-escaped', 'x')])),
  ],
  [
    'docker: a layer that is no tar',
    'image/bad-layer',
    /./,
    async () => archiveOf(await oldDockerArchive([Buffer.alloc(2048, 'no tar ')])),
  ],
  [
    'a good image and a bad one',
    'image/wrong-layer',
    /./,
    async () => {
      const files: Files = new Map();
      return archiveOf(
        setIndex(files, [
          addImage(files, [await layerOf('good', 'good')]),
          addImage(files, [await layerOf('a', 'a')], configOf([await layerOf('b', 'b')])),
        ]),
      );
    },
  ],
];

describe('an archive with', () => {
  test.each(cases)('%s', async (_, code, message, make) => {
    const store = await openImageStore();
    const before = stateOf(store);
    const bytes = await make();
    const error = await loadImages(store.place, store.images, { input: { stream: Readable.from([bytes]) } }).then(
      () => undefined,
      (error) => error,
    );
    expect(code.split('|'), error?.stack).toContain(error?.code);
    expect(error.message).toMatch(message);
    expect(stateOf(store)).toEqual(before);
    expect(existsSync(outside)).toBe(false);
  });
});

test('a file that is not there is said to be missing', async () => {
  const { place, images } = await openImageStore();
  const loading = loadImages(place, images, { input: { path: '/nowhere/app.tar' } });
  await expect(loading).rejects.toThrow('cannot read the archive /nowhere/app.tar: there is no such file');
});

test('a layout folder with a pipe for a blob is refused, not waited for', async () => {
  const { place, images } = await openImageStore();
  const files = await layout();
  const folder = writeFiles(place.newPath(), files);
  const blob = path.join(folder, layerBlob(files));
  rmSync(blob);
  execFileSync('mkfifo', [blob]);
  await expect(loadImages(place, images, { input: { path: folder } })).rejects.toThrow(
    /blobs\/sha256\/[0-9a-f]{64} is not a file/,
  );
});

/** All that a load could leave. */
function stateOf({ place: { store, layers } }: ImageStore) {
  const rows = ['layers', 'images', 'names'].map((table) => store.db.all(`SELECT * FROM ${table}`));
  const own = readdirSync(store.path('tmp'), { recursive: true });
  const folders = ['blobs/sha256', 'layers'].map((folder) => readdirSync(store.path(folder)));
  return { rows, own, folders, strays: layers.strays(), index: readFileSync(store.path('index.json'), 'utf8') };
}

function manifestOf(files: Files): string | Uint8Array {
  const { manifests } = JSON.parse(String(files.get('index.json'))) as { manifests: { digest: string }[] };
  return files.get(`blobs/sha256/${manifests[0]?.digest.slice('sha256:'.length)}`) as string;
}

function bendManifest(files: Files): void {
  const text = String(manifestOf(files));
  files.set(`blobs/sha256/${hexOf(text)}`, text.replace('schemaVersion', 'schemaVersioN'));
}

function nestIndexes(files: Files, depth: number): void {
  let inner: object = addImage(files, []);
  for (let level = 0; level < depth; level++)
    inner = addBlob(files, INDEX_TYPE, JSON.stringify({ schemaVersion: 2, manifests: [inner] }));
  setIndex(files, [inner]);
}

function artifact(files: Files): void {
  const config = addBlob(files, 'application/vnd.example.config.v1+json', '{}');
  setIndex(files, [addBlob(files, MANIFEST_TYPE, JSON.stringify({ schemaVersion: 2, config, layers: [] }))]);
}

async function hugePaxHeader(): Promise<Buffer> {
  const tar = await tarOf([{ name: 'x', content: Buffer.alloc(5_000_000, 'x') }]);
  return retype(tar, 'x');
}

async function directoryWithSize(): Promise<Buffer> {
  return retype(await tarOf([{ name: 'd', content: 'x'.repeat(600) }]), '5');
}

/** Another type flag in the first header, its checksum made good. */
function retype(tar: Buffer, flag: string): Buffer {
  tar.write(flag, 156, 'latin1');
  tar.fill(' ', 148, 156);
  const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return tar;
}

test('digests in these tests are those of their contents', () => {
  expect(digestOf('')).toBe('sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
});
