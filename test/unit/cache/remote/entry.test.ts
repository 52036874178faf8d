import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import {
  type CacheEntry,
  decodeEntry,
  decodeMountEntry,
  encodeEntry,
  readSigningKey,
} from '../../../../src/cache/remote/entry.ts';

const sha = (digit: string) => `sha256:${digit.repeat(64)}` as const;
const blake = (digit: string) => `blake3:${digit.repeat(64)}` as const;
const blob = (digit: string) => ({ mediaType: 'application/x', digest: sha(digit), size: 1 });
const layer = { index: blob('1'), tree: blake('2'), bytes: 3, entries: 4, diffId: sha('5'), tarSize: 6, blob: blob('7') };
const entry: CacheEntry = {
  record: { version: 1, kind: 'run', args: ['x'] },
  trace: { version: 2, exact: [blake('a')], gaps: [null, [['L', 'a', 'file']]] },
  created: 1,
  durationMs: 2,
  layers: [layer],
};
const { privateKey, publicKey } = generateKeyPairSync('ed25519');

test('is read as it was written', () => {
  expect(decodeEntry(encodeEntry(entry, undefined), undefined)).toEqual(entry);
  expect(decodeEntry(encodeEntry(entry, privateKey), publicKey)).toEqual(entry);
});

describe('signatures', () => {
  test('of others, of another text, and none are told apart from ours', () => {
    const other = generateKeyPairSync('ed25519').publicKey;
    expect(decodeEntry(encodeEntry(entry, privateKey), other)).toBe('is signed by another key');
    expect(decodeEntry(encodeEntry(entry, undefined), publicKey)).toBe('is not signed');
    const changed = encodeEntry(entry, privateKey).toString().replace('"bytes":3', '"bytes":4');
    expect(decodeEntry(Buffer.from(changed), publicKey)).toBe('is signed by another key');
  });

  test('are of the one kind', () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
    expect(() => readSigningKey(String(rsa), 'rsa.pem')).toThrow('rsa.pem holds no private key of the kind Ed25519');
    expect(() => readSigningKey('nonsense', 'x.pem')).toThrow('x.pem holds no private key');
  });
});

describe('what is not well-formed is no entry', () => {
  const changes: Readonly<Record<string, unknown>> = {
    'no layer': { ...entry, layers: [] },
    'two layers of a step': { ...entry, layers: [layer, layer] },
    'a step without data': { ...entry, layers: [{ ...layer, blob: undefined }] },
    'a digest that is a path': { ...entry, layers: [{ ...layer, blob: { ...layer.blob, digest: 'sha256:../../x' } }] },
    'a negative size': { ...entry, layers: [{ ...layer, index: { ...layer.index, size: -1 } }] },
    'a size that is none': { ...entry, layers: [{ ...layer, tarSize: 1e300 }] },
    'a time that no image has': { ...entry, created: 8.7e15 },
    'a tree of another kind': { ...entry, layers: [{ ...layer, tree: sha('2') }] },
    'a trace of another version': { ...entry, trace: { ...entry.trace, version: 1 } },
    'an observation that is none': { ...entry, trace: { version: 2, exact: [], gaps: [[['L', 'a']]] } },
    'a record without a kind': { ...entry, record: { version: 1 } },
    'a media type with a line end': { ...entry, layers: [{ ...layer, index: { ...layer.index, mediaType: 'a\nb' } }] },
    'a list': [entry],
    null: null,
  };
  test.each(Object.entries(changes))('%s', (_, value) => {
    expect(decodeEntry(Buffer.from(`tbuild cache entry 1\n${JSON.stringify(value)}\n`), undefined)).toBe('is not well-formed');
  });

  test('nor is what is of another form', () => {
    expect(decodeEntry(Buffer.from('{}'), undefined)).toContain('is of a form that this tbuild does not know');
    expect(decodeEntry(Buffer.from('tbuild cache entry 1\n{'), undefined)).toBe('is not well-formed');
    expect(decodeMountEntry(encodeEntry(entry, undefined), undefined)).toContain('is of a form');
  });
});
