// A registry that does everything wrong, one thing at a time: each fault is an error that names it or makes no difference, the store is sound and without
// the image, and another try brings it in.

import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { TbuildError } from '../../../src/base/errors.ts';
import { checkStore } from '../../../src/images/fsck.ts';
import type { Image } from '../../../src/images/image.ts';
import { hostPlatform } from '../../../src/oci/platform.ts';
import { parseReference, withDefaultTag } from '../../../src/oci/reference.ts';
import { RegistryClient } from '../../../src/registry/client.ts';
import { pullImages } from '../../../src/registry/pull.ts';
import { receiveRemote } from '../../../src/registry/receive-remote.ts';
import { resolveImage } from '../../../src/registry/resolve.ts';
import { configOf, digestOf, type Entry, layerOf, tarOf } from '../../support/archives.ts';
import {
  type Act,
  type Fault,
  type FaultyRegistry,
  hangUp,
  redirect,
  say,
  serveFaulty,
  silence,
  stall,
  status,
  truncate,
  whole,
} from '../../support/faulty-registry.ts';
import { type ImageStore, openImageStore } from '../../support/image-store.ts';

const oci = 'application/vnd.oci.image';
const types = {
  manifest: `${oci}.manifest.v1+json`,
  index: `${oci}.index.v1+json`,
  config: `${oci}.config.v1+json`,
  layer: `${oci}.layer.v1.tar+gzip`,
};
const outside = path.join(tmpdir(), 'tbuild-registry-escaped');
const limits = { idleMs: 400, connectMs: 2000, backoffMs: 5, retryAfterMaxMs: 1000, tries: 3, progressBytes: 5000 };

let registry: FaultyRegistry;
let other: FaultyRegistry;
let store: ImageStore;
/** Digests of the layers of `app`, bottom first. */
let layers: string[];

beforeAll(async () => {
  registry = await serveFaulty();
  other = await serveFaulty();
});

beforeEach(async () => {
  store = await openImageStore();
  registry.contents.clear();
  registry.setFaults();
  other.setFaults();
  const tars = [await layerOf('one', 'x'.repeat(1000)), await tarOf([{ name: 'two', content: randomText(300_000) }])];
  layers = putImage('1', tars).map(({ digest }) => digest);
});

/** It does not compress to nothing, and is the same each time. */
function randomText(length: number): string {
  let state = 1;
  let text = '';
  while (text.length < length) {
    state = (state * 48271) % 0x7fffffff;
    text += state.toString(36);
  }
  return text.slice(0, length);
}

function putBlob(content: Uint8Array | string, mediaType: string) {
  const bytes = Buffer.from(content);
  registry.contents.set(`/v2/app/blobs/${digestOf(bytes)}`, { bytes, mediaType: 'application/octet-stream' });
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

function putDocument(tag: string, document: object | string, mediaType = types.manifest) {
  const bytes = Buffer.from(typeof document === 'string' ? document : JSON.stringify(document));
  for (const name of [tag, digestOf(bytes)]) registry.contents.set(`/v2/app/manifests/${name}`, { bytes, mediaType });
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

/** Returns descriptors of its layers. `bend` changes the manifest. */
function putImage(tag: string, tars: readonly Uint8Array[], bend: (manifest: Record<string, unknown>) => void = () => {}) {
  const made = tars.map((tar) => putBlob(gzipSync(tar), types.layer));
  const manifest = { schemaVersion: 2, mediaType: types.manifest, config: putBlob(configOf(tars), types.config), layers: made };
  bend(manifest);
  putDocument(tag, manifest);
  return made;
}

async function pull(tag = '1', env: Record<string, string> = {}): Promise<Image> {
  const client = new RegistryClient({ signal: new AbortController().signal, limits, env });
  try {
    const reference = withDefaultTag(parseReference(`${registry.host}/app:${tag}`));
    const repository = await client.open(reference, { actions: ['pull'] });
    const remote = await resolveImage(repository, reference, { platform: hostPlatform(), isStrict: false });
    return await receiveRemote(store.place, store.images, remote);
  } finally {
    await client.close();
  }
}

/** `code: message`, ports and digests left out, and then what it hints at. */
async function failure(tag?: string, env?: Record<string, string>): Promise<string> {
  const error = await pull(tag, env).catch((thrown: unknown) => thrown);
  if (!(error instanceof TbuildError)) throw new Error(`it does not fail: ${error}`);
  const plain = (text: string) =>
    text
      .replaceAll(registry.host, 'HOST')
      .replaceAll(other.host, 'OTHER')
      .replace(/sha256:[0-9a-f]{64}/g, 'DIGEST');
  return `${error.code}: ${plain(error.message)}${error.hint === undefined ? '' : ` (${plain(error.hint)})`}`;
}

async function expectSound(images: number): Promise<void> {
  expect(store.images.list()).toHaveLength(images);
  expect((await checkStore(store.place)).problems).toEqual([]);
  expect(existsSync(outside)).toBe(false);
}

/** In this process's folder of the store. */
function leftOver(): string[] {
  const folder = path.dirname(store.place.newPath());
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name !== 'lock' && !statSync(path.join(folder, name)).isDirectory(),
  );
}

const manifest = /^GET .*\/manifests\//;
const config = () => new RegExp(`^GET .*/blobs/(?!${layers.join('|')})`);
const second = () => new RegExp(`^GET .*/blobs/${layers[1]}`);

describe('an answer that is none of those wanted', () => {
  const hub = { code: 'TOOMANYREQUESTS', message: 'You have reached your pull rate limit. You may increase the limit.' };
  it.each<readonly [string, Act, string]>([
    [
      '401 without a challenge',
      status(401),
      'auth/unauthorized: HOST/app:1: pull access denied, repository does not exist or may require authorization (tbuild login HOST says who you are)',
    ],
    [
      '403',
      status(403, { code: 'DENIED', message: 'requested access is denied' }),
      'auth/denied: HOST/app:1: pull access denied, repository does not exist or may require authorization: server message: denied: requested access is denied (tbuild login HOST says who you are)',
    ],
    ['404', status(404, { code: 'NAME_UNKNOWN', message: 'unknown' }), 'registry/not-found: HOST/app:1: not found'],
    ['429', status(429), 'registry/rate-limited: HOST has had too many requests (try again later)'],
    [
      '429 for hours',
      status(429, undefined, { 'retry-after': '3600' }),
      'registry/rate-limited: HOST has had too many requests (it says to try again after: 3600)',
    ],
    [
      '429 of Docker Hub',
      status(429, hub),
      'registry/rate-limited: HOST has had too many requests: toomanyrequests: You have reached your pull rate limit. You may increase the limit. (Docker Hub counts pulls of those who are not logged in by their address: tbuild login, or a mirror in registries.conf)',
    ],
    ['500', status(500), 'registry/unavailable: HOST answers 500 when asked for HOST/app:1 (try again later)'],
    [
      'a page',
      say('<html>maintenance', 'text/html'),
      'image/bad-document: the manifest of HOST/app:1 is not JSON: Unexpected token \'<\', "<html>maintenance" is not valid JSON',
    ],
    ['418', status(418), 'registry/bad-answer: HOST answers 418 when asked for HOST/app:1'],
    [
      'redirects without end',
      redirect((request) => request.url as string),
      'registry/bad-answer: HOST/app:1: HOST stopped after 10 redirects',
    ],
    [
      'a redirect to a file',
      redirect(() => 'file:///etc/passwd'),
      'registry/bad-answer: HOST/app:1: HOST redirected to what is no http URL',
    ],
    ['silence', silence, 'registry/unreachable: cannot reach the registry HOST: Headers Timeout Error'],
    ['a broken connection', hangUp, 'registry/unreachable: cannot reach the registry HOST: other side closed'],
  ])('%s', async (_, act, message) => {
    registry.setFaults({ on: manifest, act });
    expect(await failure()).toBe(message);
    await expectSound(0);
    registry.setFaults();
    await pull();
    await expectSound(1);
  });

  it.each<readonly [string, Act]>([
    ['429', status(429, undefined, { 'retry-after': '0' })],
    ['500', status(500)],
    ['503', status(503, undefined, { 'retry-after': '0' })],
    ['a broken connection', hangUp],
  ])('%s passes', async (_, act) => {
    registry.setFaults({ on: manifest, act, times: 2 }, { on: second(), act, times: 2 });
    await pull();
    await expectSound(1);
  });

  it('a quota of hours is not tried again', async () => {
    registry.setFaults({ on: manifest, act: status(429, hub) });
    await failure();
    expect(registry.log.filter((line) => line.includes('/manifests/'))).toHaveLength(1);
  });
});

describe('a manifest', () => {
  const good = () => JSON.parse(String(registry.contents.get('/v2/app/manifests/1')?.bytes)) as Record<string, never>;

  it.each<readonly [string, string, () => void]>([
    [
      'of other bytes than the registry says',
      'registry/wrong-digest: HOST/app:1: the manifest that should be DIGEST is DIGEST',
      () =>
        registry.setFaults({
          on: manifest,
          act: (_, response) =>
            response.writeHead(200, { 'content-type': types.manifest, 'docker-content-digest': digestOf('x') }).end('{}'),
        }),
    ],
    [
      'beyond all measure',
      'registry/bad-answer: the manifest of HOST/app:1 from HOST has more than the 4194304 bytes allowed',
      () => putDocument('1', ' '.repeat((4 << 20) + 1)),
    ],
    [
      'of the time before digests',
      'unsupported/manifest: the manifest of HOST/app:1 has the schema version 1: only 2 is supported (push the image again with a tool of this decade)',
      () =>
        putDocument(
          '1',
          { schemaVersion: 1, name: 'app', fsLayers: [] },
          'application/vnd.docker.distribution.manifest.v1+prettyjws',
        ),
    ],
    [
      'with a negative size',
      'image/bad-document: the manifest DIGEST of HOST/app:1, layers[0], size is negative',
      () =>
        putImage('1', [Buffer.alloc(1024)], (document) =>
          Object.assign((document.layers as object[])[0] as object, { size: -1 }),
        ),
    ],
    [
      'with a size that is no number',
      'image/bad-document: the manifest DIGEST of HOST/app:1, layers[0], size is not an integer',
      () =>
        putImage('1', [Buffer.alloc(1024)], (document) =>
          Object.assign((document.layers as object[])[0] as object, { size: '12' }),
        ),
    ],
    [
      'with a path for a digest',
      'image/bad-document: the manifest DIGEST of HOST/app:1, layers[0], digest is not a sha256 digest: "sha256:../../../etc/passwd"',
      () =>
        putImage('1', [Buffer.alloc(1024)], (document) =>
          Object.assign((document.layers as object[])[0] as object, { digest: 'sha256:../../../etc/passwd' }),
        ),
    ],
    [
      'that is also an index',
      'image/bad-document: the manifest DIGEST of HOST/app:1 is both a manifest and an index',
      () => putDocument('1', { ...good(), manifests: [] }),
    ],
    [
      'given as an index',
      'image/bad-archive: HOST/app:1 cannot be loaded: DIGEST is not of the media type application/vnd.oci.image.index.v1+json',
      () => putDocument('1', good(), types.index),
    ],
    [
      'of an artifact',
      'image/not-an-image: HOST/app:1 is not a container image: its config has the type application/vnd.example+json',
      () => putDocument('1', { ...good(), config: putBlob('{}', 'application/vnd.example+json') }),
    ],
    [
      'with a layer that nobody can read',
      'unsupported/layer: HOST/app:1 has a layer of the type application/vnd.example, which cannot be unpacked',
      () => putDocument('1', { ...good(), layers: [putBlob('x', 'application/vnd.example')] }),
    ],
    [
      'with a config beyond all measure',
      'registry/bad-answer: the blob DIGEST of HOST/app has 1099511627776 bytes, more than the 8388608 allowed',
      () => putDocument('1', { ...good(), config: { mediaType: types.config, digest: digestOf('x'), size: 2 ** 40 } }),
    ],
    [
      'with other layers than its config',
      'image/bad-document: HOST/app:1 has 3 layers, its config speaks of 2',
      () => {
        const document = good() as unknown as { layers: object[] };
        putDocument('1', { ...document, layers: [...document.layers, document.layers[0] as object] });
      },
    ],
    [
      'whose config has other bytes',
      'registry/wrong-digest: the blob of HOST/app that should be DIGEST is DIGEST',
      () =>
        registry.setFaults({
          on: config(),
          act: (request, response) => {
            const right = registry.contents.get(request.url as string)?.bytes as Buffer;
            response.end(Buffer.alloc(right.length, 'x'));
          },
        }),
    ],
    [
      'in an index that has it for others',
      'image/no-platform: HOST/app:1 has no image for PLATFORM: it has linux/s390x (choose one of these with --platform)',
      () =>
        putDocument(
          '1',
          {
            schemaVersion: 2,
            mediaType: types.index,
            manifests: [{ ...putDocument('s', good()), platform: { os: 'linux', architecture: 's390x' } }],
          },
          types.index,
        ),
    ],
    [
      'in an empty index',
      'image/no-platform: HOST/app:1 has no image for PLATFORM: its index is empty',
      () => putDocument('1', { schemaVersion: 2, mediaType: types.index, manifests: [] }, types.index),
    ],
    [
      'below too many indexes',
      'image/bad-archive: HOST/app:1 cannot be loaded: its indexes are nested more than 4 deep',
      () => {
        let below = putDocument('deep', good());
        for (let depth = 0; depth < 6; depth++)
          below = putDocument('1', { schemaVersion: 2, mediaType: types.index, manifests: [below] }, types.index);
      },
    ],
    [
      'in an index that says another size',
      'registry/wrong-size: the manifest DIGEST of HOST/app:1 has SIZE bytes, its index says 7',
      () =>
        putDocument(
          '1',
          { schemaVersion: 2, mediaType: types.index, manifests: [{ ...putDocument('s', good()), size: 7 }] },
          types.index,
        ),
    ],
    [
      'in a circle of indexes',
      'registry/wrong-digest: HOST/app@DIGEST: the manifest that should be DIGEST is DIGEST',
      () => {
        // A circle needs a digest that lies.
        const lie = digestOf('lie');
        const circle = putDocument(
          '1',
          { schemaVersion: 2, mediaType: types.index, manifests: [{ mediaType: types.index, digest: lie, size: 5 }] },
          types.index,
        );
        registry.contents.set(`/v2/app/manifests/${lie}`, {
          bytes: Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [circle] })),
          mediaType: types.index,
        });
      },
    ],
  ])('%s', async (_, message, arrange) => {
    arrange();
    const platform = `${hostPlatform().os}/${hostPlatform().architecture}`;
    expect((await failure()).replace(platform, 'PLATFORM').replace(/has \d+ bytes, its index/, 'has SIZE bytes, its index')).toBe(
      message,
    );
    await expectSound(0);
  });

  it('without a type anywhere is what it looks like', async () => {
    const { mediaType: _, ...silent } = good() as Record<string, unknown>;
    putDocument('1', silent, 'application/json');
    await pull();
    await expectSound(1);
  });
});

describe('a blob', () => {
  const bytes = () => registry.contents.get(`/v2/app/blobs/${layers[1]}`)?.bytes as Buffer;

  it.each<readonly [string, () => Act, string]>([
    [
      'of other bytes',
      () => say(Buffer.alloc(bytes().length, 'x')),
      'image/wrong-blob: HOST/app:1: the blob that should be DIGEST (SIZE bytes) is DIGEST (SIZE bytes)',
    ],
    [
      'with a byte changed',
      () => {
        const changed = Buffer.from(bytes());
        changed.writeUInt8(changed.readUInt8(changed.length - 30) ^ 1, changed.length - 30);
        return say(changed);
      },
      'image/wrong-blob: HOST/app:1: the blob that should be DIGEST (SIZE bytes) is DIGEST (SIZE bytes)',
    ],
    [
      'that is longer, and says so',
      () => say(Buffer.concat([bytes(), bytes()])),
      'registry/wrong-size: the blob DIGEST of HOST/app should have SIZE bytes, and MORE are sent',
    ],
    [
      'that is longer, and does not',
      () => say(Buffer.concat([bytes(), bytes()]), undefined, true),
      'registry/wrong-size: the blob DIGEST of HOST/app should have SIZE bytes, and more are sent',
    ],
    [
      'that always ends early',
      () => truncate(100),
      'registry/interrupted: the blob DIGEST of HOST/app does not arrive from HOST: other side closed',
    ],
    [
      'that ends early each time as if it were whole',
      () => say(bytes().subarray(0, 100), undefined, true),
      'registry/interrupted: the blob DIGEST of HOST/app does not arrive from HOST: it ended after 100 of SIZE bytes',
    ],
    [
      'that always stalls',
      () => stall(100),
      'registry/interrupted: the blob DIGEST of HOST/app does not arrive from HOST: Body Timeout Error',
    ],
    ['that is not there', () => status(404), 'registry/not-found: the blob DIGEST of HOST/app: not found'],
    [
      'that another part of is sent',
      () => (request, response, answer) => {
        if (!request.headers.range) return truncate(100)(request, response, answer);
        response.writeHead(206, { 'content-range': `bytes 7-${bytes().length - 1}/${bytes().length}` }).end(bytes().subarray(7));
      },
      'registry/wrong-size: the blob DIGEST of HOST/app should have SIZE bytes, and another part was sent than was asked for',
    ],
  ])('%s', async (_, act, message) => {
    const size = bytes().length;
    registry.setFaults({ on: second(), act: act() });
    expect((await failure()).replaceAll(`${size * 2}`, 'MORE').replaceAll(`${size}`, 'SIZE')).toBe(message);
    await expectSound(0);
    registry.setFaults();
    await pull();
    await expectSound(1);
    expect(leftOver()).toEqual([]);
  });

  it.each<readonly [string, (size: number) => Fault[]]>([
    ['ends early: the rest is asked for', (size) => [{ on: second(), act: truncate(size >> 1), times: 1 }]],
    ['ends early again and again, always further on', (size) => [{ on: second(), act: truncate(size >> 3), times: 7 }]],
    ['stalls: the rest is asked for', (size) => [{ on: second(), act: stall(size >> 1), times: 1 }]],
    [
      'ends early at a server without ranges',
      (size) => [
        { on: second(), act: truncate(size >> 1), times: 1 },
        { on: second(), act: whole },
      ],
    ],
  ])('%s', async (title, faults) => {
    registry.setFaults(...faults(bytes().length));
    await pull();
    await expectSound(1);
    const answers = registry.log.filter((line) => line.includes(layers[1] as string)).map((line) => line.split(' ').at(-1));
    expect(answers.includes('206')).toBe(!title.includes('without ranges'));
  });

  it('at another host is fetched there, and nobody is named', async () => {
    other.contents.clear();
    for (const [name, content] of registry.contents) other.contents.set(name, content);
    registry.setFaults(
      { on: /^GET \/v2\/app\/blobs/, act: redirect((request) => `http://${other.host}${request.url}`) },
      {
        on: /./,
        act: (request, response, answer) =>
          request.headers.authorization
            ? answer()
            : status(401, undefined, { 'www-authenticate': 'Basic realm="x"' })(request, response, answer),
      },
    );
    const home = path.join(path.dirname(store.place.newPath()), 'home');
    mkdirSync(`${home}/.docker`, { recursive: true });
    const auth = Buffer.from('ada:word').toString('base64');
    writeFileSync(`${home}/.docker/config.json`, JSON.stringify({ auths: { [registry.host]: { auth } } }));
    await pull('1', { HOME: home });
    expect(registry.headers.some(({ authorization }) => authorization === `Basic ${auth}`)).toBe(true);
    expect(other.headers.length).toBeGreaterThan(2);
    expect(other.headers.filter(({ authorization }) => authorization !== undefined)).toEqual([]);
  });

  it('that was whole when the registry died is not fetched again', async () => {
    registry.setFaults({ on: second(), act: truncate(100) });
    await failure();
    await expectSound(0);
    registry.setFaults();
    await pull();
    await expectSound(1);
    expect(registry.log.filter((line) => line.includes(layers[0] as string))).toEqual([]);
  });

  it('that is here, and damaged, is fetched again', async () => {
    const kept = store.images.blobs.path(layers[1] as never);
    writeFileSync(kept, Buffer.alloc(bytes().length, 'x'));
    await pull();
    await expectSound(1);
  });

  it('of layers that are here already is not fetched', async () => {
    await pull();
    registry.setFaults();
    const image = await pull();
    expect(registry.log.filter((line) => line.includes('/blobs/'))).toHaveLength(1);
    expect(image.names).toContain(`${registry.host}/app:1`);
  });
});

it('an image that is here is asked for without sending anything', async () => {
  const { signal } = new AbortController();
  const pullIt = () => pullImages(store.place, store.images, `${registry.host}/app:1`, { signal });
  expect((await pullIt())[0]?.isNew).toBe(true);
  registry.setFaults();
  expect((await pullIt())[0]?.isNew).toBe(false);
  expect(registry.log.filter((line) => !line.includes(' /v2/ '))).toEqual(['HEAD /v2/app/manifests/1 200']);
  putImage('1', [await layerOf('new', 'new')]);
  expect((await pullIt())[0]?.isNew).toBe(true);
});

describe('a layer', () => {
  const put = async (entries: readonly Entry[]) => putImage('1', [await tarOf(entries)]);

  it.each<readonly [string, string, () => Promise<unknown>]>([
    [
      'that climbs out',
      'image/bad-layer: HOST/app:1: cannot unpack the layer DIGEST: ',
      () => put([{ name: '../../tbuild-registry-escaped', content: 'x' }]),
    ],
    [
      'with a device that is no device',
      'image/bad-layer: HOST/app:1: cannot unpack the layer DIGEST: ',
      () => put([{ name: 'x', type: 'character-device', devmajor: 0, devminor: 0 }]),
    ],
    [
      'that is no tar',
      'image/bad-layer: HOST/app:1: cannot unpack the layer DIGEST: ',
      async () => putImage('1', [Buffer.alloc(5000, 'x')]),
    ],
    [
      'that is another than its config says',
      'image/wrong-layer: HOST/app:1: the layer that should be DIGEST is DIGEST',
      async () => {
        const tar = await layerOf('a', 'a');
        putImage('1', [tar], (document) =>
          Object.assign(document, { config: putBlob(configOf([Buffer.from('other')]), types.config) }),
        );
      },
    ],
    [
      'that is a bomb',
      'image/too-large: HOST/app:1: the layer DIGEST unpacks to more than 1m (TBUILD_MAX_UNPACKED)',
      async () => {
        process.env.TBUILD_MAX_UNPACKED = '1m';
        await put([{ name: 'zeros', content: Buffer.alloc(4 << 20) }]);
      },
    ],
    [
      'that is elsewhere',
      'registry/not-found: the blob DIGEST of HOST/app: not found (it is a foreign layer',
      async () => {
        const tar = await layerOf('a', 'a');
        const foreign = {
          mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
          digest: digestOf('z'),
          size: 9,
          urls: [`http://${other.host}/z`],
        };
        putImage('1', [tar], (document) => Object.assign(document, { layers: [foreign] }));
      },
    ],
  ])('%s', async (_, message, arrange) => {
    await arrange();
    try {
      expect(await failure()).toContain(message);
    } finally {
      delete process.env.TBUILD_MAX_UNPACKED;
    }
    await expectSound(0);
    expect(store.place.layers.all()).toEqual([]);
    expect(other.log).toEqual([]);
  });
});
