// An entry of a remote cache: a step's record, its trace and what it made, or the layers of an image; as text that may be signed. What is read may be
// anybody's: nothing of it is used before its form is checked, and with a public key nothing that its owner did not sign.

import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { canonicalJson, type Digest } from '../../base/digest.ts';
import { TbuildError } from '../../base/errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { parseTrace, type StepRecord, type Trace } from '../traces.ts';

export interface EntryLayer {
  /** The layer's index, compressed. */
  readonly index: Descriptor;
  readonly tree: Digest;
  /** Of file contents. */
  readonly bytes: number;
  readonly entries: number;
  readonly diffId: Digest;
  readonly tarSize: number;
  /** Its data. Undefined: the image that it is of has it. */
  readonly blob?: Descriptor;
}

export interface CacheEntry {
  readonly record: StepRecord;
  /** Undefined: of an image. */
  readonly trace?: Trace;
  /** Milliseconds since the epoch: the `created` of the layer in images. */
  readonly created: number;
  readonly durationMs: number;
  /** One, or those of an image, bottom first. */
  readonly layers: readonly EntryLayer[];
}

/** The contents of a cache mount. */
export interface MountEntry {
  /** Of its directory in mounts/. */
  readonly name: string;
  readonly id: string;
  readonly created: number;
  /** Of the tar. */
  readonly bytes: number;
  /** Of the tar, in order, each compressed. */
  readonly chunks: readonly Descriptor[];
}

export type SigningKey = KeyObject;

const FORMAT = 'tbuild cache entry 1';
const MOUNT_FORMAT = 'tbuild cache mount 1';

export function encodeEntry(entry: CacheEntry, key: KeyObject | undefined): Buffer {
  return seal(FORMAT, entry, key);
}

export function encodeMountEntry(entry: MountEntry, key: KeyObject | undefined): Buffer {
  return seal(MOUNT_FORMAT, entry, key);
}

/** Lines: the format, the entry as JSON, and where it is signed `ed25519` with the signature of both in base64. */
function seal(format: string, entry: CacheEntry | MountEntry, key: KeyObject | undefined): Buffer {
  const text = `${format}\n${canonicalJson(entry)}\n`;
  return Buffer.from(key ? `${text}ed25519 ${sign(null, Buffer.from(text), key).toString('base64')}\n` : text);
}

/** Of a text what is wrong with it. */
export function decodeEntry(bytes: Buffer, key: KeyObject | undefined): CacheEntry | string {
  return unseal(FORMAT, bytes, key, parseEntry);
}

export function decodeMountEntry(bytes: Buffer, key: KeyObject | undefined): MountEntry | string {
  return unseal(MOUNT_FORMAT, bytes, key, parseMount);
}

function unseal<T>(
  wanted: string,
  bytes: Buffer,
  key: KeyObject | undefined,
  parse: (value: unknown) => T | undefined,
): T | string {
  const [format, json, signature = ''] = bytes.toString().split('\n');
  if (format !== wanted || json === undefined) return 'is of a form that this tbuild does not know';
  if (key && !isSigned(`${format}\n${json}\n`, signature, key))
    return signature === '' ? 'is not signed' : 'is signed by another key';
  try {
    return parse(JSON.parse(json)) ?? 'is not well-formed';
  } catch {
    return 'is not well-formed';
  }
}

function isSigned(text: string, line: string, key: KeyObject): boolean {
  const encoded = /^ed25519 ([A-Za-z0-9+/]{86}==)$/.exec(line)?.[1];
  return encoded !== undefined && verify(null, Buffer.from(text), key, Buffer.from(encoded, 'base64'));
}

/** Beyond it no image can say when it was made. */
const YEAR_10000_MS = 253_402_300_800_000;

type Members = Readonly<Record<string, unknown>>;

function parseEntry(value: unknown): CacheEntry | undefined {
  if (!isMembers(value) || !isMembers(value.record) || !Array.isArray(value.layers)) return undefined;
  const { record, created, durationMs } = value;
  if (record.version !== 1 || typeof record.kind !== 'string' || !isCount(durationMs)) return undefined;
  if (!isCount(created) || created > YEAR_10000_MS) return undefined;
  const trace = value.trace === undefined ? undefined : parseTrace(value.trace);
  const layers = value.layers.map(parseLayer);
  const isStep = value.trace !== undefined;
  if ((isStep && (!trace || layers.length !== 1 || !layers[0]?.blob)) || layers.length > 1000) return undefined;
  if (!layers.every((layer) => layer !== undefined)) return undefined;
  return { record: record as StepRecord, created, durationMs, layers, ...(trace && { trace }) };
}

function parseMount(value: unknown): MountEntry | undefined {
  if (!isMembers(value) || !Array.isArray(value.chunks)) return undefined;
  const { name, id, created, bytes } = value;
  const chunks = value.chunks.map(parseBlob);
  if (typeof name !== 'string' || typeof id !== 'string' || !isCount(created) || !isCount(bytes)) return undefined;
  return chunks.every((chunk) => chunk !== undefined) ? { name, id, created, bytes, chunks } : undefined;
}

function parseLayer(value: unknown): EntryLayer | undefined {
  if (!isMembers(value)) return undefined;
  const { tree, bytes, entries, diffId, tarSize } = value;
  const index = parseBlob(value.index);
  const blob = value.blob === undefined ? undefined : parseBlob(value.blob);
  if (!index || (value.blob !== undefined && !blob)) return undefined;
  if (!isDigest(tree, 'blake3') || !isDigest(diffId, 'sha256')) return undefined;
  if (!isCount(bytes) || !isCount(entries) || !isCount(tarSize)) return undefined;
  return { index, tree, bytes, entries, diffId, tarSize, ...(blob && { blob }) };
}

function parseBlob(value: unknown): Descriptor | undefined {
  if (!isMembers(value)) return undefined;
  const { mediaType, digest, size } = value;
  const isType = typeof mediaType === 'string' && /^[\w.+/-]{1,127}$/.test(mediaType);
  return isType && isDigest(digest, 'sha256') && isCount(size) ? { mediaType, digest, size } : undefined;
}

const isMembers = (value: unknown): value is Members => typeof value === 'object' && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function isDigest(value: unknown, algorithm: 'sha256' | 'blake3'): value is Digest {
  return (
    typeof value === 'string' && value.startsWith(`${algorithm}:`) && /^[0-9a-f]{64}$/.test(value.slice(algorithm.length + 1))
  );
}

/** PEM. Throws `usage/bad-value` where it is no Ed25519 key. */
export function readSigningKey(pem: string, file: string): KeyObject {
  return readKey(() => createPrivateKey(pem), `${file} holds no private key`);
}

/** Of a private key, too, the public one. */
export function readVerifyingKey(pem: string, file: string): KeyObject {
  return readKey(() => createPublicKey(pem), `${file} holds no public key`);
}

function readKey(read: () => KeyObject, what: string): KeyObject {
  const hint = 'openssl genpkey -algorithm ed25519 makes a private key, openssl pkey -pubout the public one of it';
  let key: KeyObject;
  try {
    key = read();
  } catch (cause) {
    throw new TbuildError('usage/bad-value', what, { cause, hint });
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new TbuildError('usage/bad-value', `${what} of the kind Ed25519`, { hint });
  return key;
}
