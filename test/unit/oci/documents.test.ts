// Documents that others wrote: what is read of them, and what is refused with which words.
import { describe, expect, test } from 'vitest';
import { assertRunnable, encodeManifest, type Manifest, mediaTypes, parseManifest } from '../../../src/oci/descriptor.ts';
import { encodeImageConfig, parseImageConfig } from '../../../src/oci/image-config.ts';

const DIGEST = `sha256:${'0'.repeat(64)}` as const;
const descriptor = (mediaType: string = mediaTypes.layerGzip) => ({ mediaType, digest: DIGEST, size: 7 });
const manifest = (more: object = {}) => ({
  schemaVersion: 2,
  config: descriptor(mediaTypes.config),
  layers: [descriptor()],
  ...more,
});
const parse = (document: unknown) => parseManifest(Buffer.from(JSON.stringify(document)), 'the manifest');
const parseConfig = (document: unknown) => parseImageConfig(Buffer.from(JSON.stringify(document)), 'the config');

describe('parseManifest', () => {
  test('reads both media types, and takes an untyped document for what it holds', () => {
    expect(parse(manifest())).toMatchObject({ kind: 'manifest', mediaType: mediaTypes.manifest });
    expect(parse(manifest({ mediaType: mediaTypes.dockerManifest }))).toMatchObject({
      kind: 'manifest',
      mediaType: mediaTypes.dockerManifest,
    });
    expect(parse({ schemaVersion: 2, manifests: [descriptor(mediaTypes.manifest)] })).toMatchObject({ kind: 'index' });
  });

  test('keeps annotations whatever their names', () => {
    const text = `{"schemaVersion":2,"manifests":[{"mediaType":"x","digest":"${DIGEST}","size":1,"annotations":{"__proto__":"y"}}]}`;
    const index = parseManifest(Buffer.from(text), 'the index');
    const notes = index.kind === 'index' ? index.manifests[0]?.annotations : undefined;
    expect(Object.keys(notes ?? {})).toEqual(['__proto__']);
  });

  test.each([
    ['a list', [], 'the manifest is not an object'],
    ['a number', 1, 'the manifest is not an object'],
    ['no version', {}, 'the manifest, schemaVersion is not an integer'],
    ['schema 1', { schemaVersion: 1, fsLayers: [] }, 'the manifest has the schema version 1: only 2 is supported'],
    ['both at once', manifest({ manifests: [] }), 'the manifest is both a manifest and an index'],
    [
      'a type that contradicts',
      manifest({ mediaType: mediaTypes.index }),
      `the manifest has the media type "${mediaTypes.index}"`,
    ],
    ['no layers', manifest({ layers: undefined }), 'the manifest, layers is not a list'],
    ['a layer that is none', manifest({ layers: [null] }), 'the manifest, layers[0] is not an object'],
    [
      'a digest with a path',
      manifest({ layers: [{ ...descriptor(), digest: 'sha256:../../etc/passwd' }] }),
      'the manifest, layers[0], digest is not a sha256 digest: "sha256:../../etc/passwd"',
    ],
    ['a negative size', manifest({ layers: [{ ...descriptor(), size: -1 }] }), 'the manifest, layers[0], size is negative'],
    [
      'a size beyond all',
      manifest({ layers: [{ ...descriptor(), size: 1e300 }] }),
      'the manifest, layers[0], size is not an integer',
    ],
    ['a fraction', manifest({ layers: [{ ...descriptor(), size: 1.5 }] }), 'the manifest, layers[0], size is not an integer'],
  ])('refuses %s', (_, document, message) => {
    expect(() => parse(document)).toThrow(message);
  });

  test('refuses what is not JSON, and what is not UTF-8', () => {
    expect(() => parseManifest(Buffer.from('{'), 'the manifest')).toThrow('the manifest is not JSON');
    expect(() => parseManifest(Buffer.from([0x22, 0xff, 0x22]), 'the manifest')).toThrow('the manifest is not UTF-8');
    expect(() => parseManifest(Buffer.from('['.repeat(1_000_000)), 'the manifest')).toThrow('the manifest is not JSON');
  });
});

test('artifacts and layers that cannot be unpacked are refused by their types', () => {
  const artifact = parse(manifest({ config: descriptor('application/vnd.example.config+json') })) as Manifest;
  expect(() => assertRunnable(artifact, 'x')).toThrow(expect.objectContaining({ code: 'image/not-an-image' }));
  const encrypted = parse(manifest({ layers: [descriptor(`${mediaTypes.layerGzip}+encrypted`)] })) as Manifest;
  expect(() => assertRunnable(encrypted, 'x')).toThrow(expect.objectContaining({ code: 'unsupported/layer' }));
  expect(() => assertRunnable(parse(manifest()) as Manifest, 'x')).not.toThrow();
});

test('a manifest of ours is read back as it was written', () => {
  const config = descriptor(mediaTypes.config);
  const layers = [{ ...descriptor(), annotations: { 'not.written': 'x' } }];
  expect(parseManifest(encodeManifest(config, layers), 'ours')).toEqual({
    kind: 'manifest',
    mediaType: mediaTypes.manifest,
    config,
    layers: [descriptor()],
  });
});

describe('parseImageConfig', () => {
  const minimal = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [DIGEST] } };

  test('drops members that nobody writes today; null is absent', () => {
    const config = parseConfig({
      ...minimal,
      variant: '',
      container: 'x',
      docker_version: '1',
      history: null,
      config: {
        Hostname: 'h',
        Env: null,
        Cmd: ['sh'],
        Labels: null,
        User: '',
        ArgsEscaped: true,
        Healthcheck: { Test: ['NONE'] },
      },
    });
    expect(config).toEqual({ ...minimal, config: { Cmd: ['sh'], ArgsEscaped: true, Healthcheck: { Test: ['NONE'] } } });
  });

  test('an image without layers', () => {
    expect(parseConfig({ ...minimal, rootfs: { type: 'layers', diff_ids: null } }).rootfs.diff_ids).toEqual([]);
  });

  test.each([
    ['no platform', { ...minimal, os: undefined }, 'the config does not say for which platform it is'],
    ['no rootfs', { ...minimal, rootfs: undefined }, 'the config, rootfs is not an object'],
    ['a bad diff ID', { ...minimal, rootfs: { diff_ids: ['x'] } }, 'the config, diff_ids[0] is not a sha256 digest: "x"'],
    ['an Env that is no list', { ...minimal, config: { Env: 'A=1' } }, 'the config, config, Env is not a list'],
    ['a label that is a number', { ...minimal, config: { Labels: { a: 1 } } }, 'the config, config, Labels["a"] is not a string'],
    ['a history that is no list', { ...minimal, history: {} }, 'the config, history is not a list'],
  ])('refuses %s', (_, document, message) => {
    expect(() => parseConfig(document)).toThrow(message);
  });

  test('a label named __proto__ is a label', () => {
    const text = JSON.stringify({ ...minimal, config: {} }).replace('"config":{}', '"config":{"Labels":{"__proto__":"x"}}');
    const { config } = parseImageConfig(Buffer.from(text), 'the config');
    expect(Object.keys(config?.Labels ?? {})).toEqual(['__proto__']);
    expect(Object.prototype).not.toHaveProperty('x');
  });
});

test("a config is written in BuildKit's bytes", () => {
  const text = encodeImageConfig({
    os: 'linux',
    architecture: 'arm',
    variant: 'v7',
    author: '',
    created: '2026-01-02T03:04:05Z',
    config: {
      Cmd: ['echo', '<&>\u2028'],
      Env: ['A=1'],
      User: '',
      Labels: { b: '2', a: '1' },
      ExposedPorts: { '80/tcp': {} },
      OnBuild: [],
      WorkingDir: '/',
      Healthcheck: { Test: ['CMD', 'true'], Retries: 3, Interval: 0 },
    },
    rootfs: { type: 'layers', diff_ids: [DIGEST] },
    history: [
      { created_by: 'RUN x', created: '2026-01-02T03:04:05Z', comment: 'buildkit.dockerfile.v0' },
      { empty_layer: true, created_by: 'CMD' },
    ],
  }).toString();
  expect(text).toMatchInlineSnapshot(
    `"{"architecture":"arm","config":{"ExposedPorts":{"80/tcp":{}},"Env":["A=1"],"Cmd":["echo","\\u003c\\u0026\\u003e\\u2028"],"WorkingDir":"/","Labels":{"a":"1","b":"2"},"Healthcheck":{"Test":["CMD","true"],"Retries":3}},"created":"2026-01-02T03:04:05Z","history":[{"created":"2026-01-02T03:04:05Z","created_by":"RUN x","comment":"buildkit.dockerfile.v0"},{"created_by":"CMD","empty_layer":true}],"os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:0000000000000000000000000000000000000000000000000000000000000000"]},"variant":"v7"}"`,
  );
  expect(encodeImageConfig(parseImageConfig(Buffer.from(text), 'ours')).toString()).toBe(text);
});
