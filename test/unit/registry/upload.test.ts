// How blobs go up: in which requests, and what becomes of an upload that breaks.

import { hash, randomBytes } from 'node:crypto';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Descriptor } from '../../../src/oci/descriptor.ts';
import { bytesSource, growingSource } from '../../../src/registry/blob-source.ts';
import { RegistryClient } from '../../../src/registry/client.ts';
import { uploadBlob } from '../../../src/registry/upload.ts';
import { startUploadRegistry, type UploadRegistry } from '../../support/upload-registry.ts';

const bytes = randomBytes(3_000_000);
const descriptor: Descriptor = { mediaType: 'x/y', digest: `sha256:${hash('sha256', bytes)}`, size: bytes.length };

let registry: UploadRegistry;
let client: RegistryClient;
let folder: string;
beforeEach(async () => {
  registry = await startUploadRegistry();
  client = new RegistryClient({
    signal: new AbortController().signal,
    limits: { backoffMs: 1, idleMs: 2000, progressBytes: 100_000 },
    env: {},
  });
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-upload-'));
});
afterEach(async () => {
  await client.close();
  rmSync(folder, { recursive: true });
});

const open = () => client.open({ domain: registry.host, path: 'app' }, { actions: ['pull', 'push'] });

/** Written a piece at a time. */
function growing(failure?: Error) {
  const file = path.join(folder, 'blob');
  return growingSource(file, async () => {
    for (let at = 0; at < bytes.length; at += 500_000) {
      await sleep(10);
      appendFileSync(file, bytes.subarray(at, at + 500_000));
      if (failure) throw failure;
    }
    return descriptor;
  });
}

const isThere = () => registry.blobs.get(descriptor.digest)?.equals(bytes);

test('a blob that is known goes up in one request', async () => {
  expect(await uploadBlob(await open(), bytesSource(descriptor, bytes))).toBe('uploaded');
  expect(registry.log).toEqual(['POST 202 0-0', 'PUT 201']);
  expect(isThere()).toBe(true);
});

test('one that is still being made as a stream', async () => {
  await uploadBlob(await open(), growing());
  expect(registry.log).toEqual(['POST 202 0-0', 'PATCH 202 0-2999999', 'PUT 201']);
  expect(isThere()).toBe(true);
});

test.each([
  ['that is known', () => bytesSource(descriptor, bytes), 'PUT cut', 'PATCH 202 0-2999999'],
  ['that is being made', () => growing(), 'PATCH cut', 'PATCH 202 0-2999999'],
])('one %s goes on where it was cut off', async (_, source, cut, rest) => {
  registry.cuts.push(1_000_000);
  await uploadBlob(await open(), source());
  expect(registry.log).toEqual(['POST 202 0-0', cut, 'GET 204 0-999999', rest, 'PUT 201']);
  expect(isThere()).toBe(true);
});

test('more often than requests are tried again, as long as it comes further', async () => {
  registry.cuts.push(...Array.from({ length: 8 }, (_, cut) => (cut + 1) * 300_000));
  await uploadBlob(await open(), bytesSource(descriptor, bytes));
  expect(isThere()).toBe(true);
});

test('an upload that the registry has forgotten begins anew', async () => {
  registry.forgets = true;
  registry.cuts.push(1_000_000);
  await uploadBlob(await open(), growing());
  expect(registry.log.slice(1)).toEqual(['PATCH cut', 'GET 404', 'POST 202 0-0', 'PATCH 202 0-2999999', 'PUT 201']);
  expect(isThere()).toBe(true);
});

test('in chunks where the registry wants some', async () => {
  registry.chunkMinLength = 17_000_000;
  await uploadBlob(await open(), growing());
  expect(registry.log).toEqual(['POST 202 0-0', 'PATCH 202 0-2999999', 'PUT 201']);
  expect(isThere()).toBe(true);
});

test('what was finished, and the answer lost, is found to be there', async () => {
  registry.blobs.set(descriptor.digest, bytes);
  registry.forgets = true;
  registry.cuts.push(3_000_000);
  expect(await uploadBlob(await open(), bytesSource(descriptor, bytes))).toBe('uploaded');
  expect(registry.log).toEqual(['POST 202 0-0', 'PUT cut', 'GET 404', 'HEAD 200']);
});

test.each([
  [413, undefined, 'registry/too-large', 'takes nothing so large'],
  [400, { code: 'SIZE_INVALID', message: 'too long' }, 'registry/refused', 'size_invalid: too long'],
  [403, { code: 'DENIED', message: 'quota exceeded' }, 'auth/denied', 'denied: quota exceeded'],
])('a refusal with %s is said in the words of the registry', async (status, error, code, words) => {
  registry.refusals.set('PUT', { status, ...(error && { body: { errors: [error] } }) });
  const uploading = uploadBlob(await open(), bytesSource(descriptor, bytes));
  await expect(uploading).rejects.toMatchObject({ code, message: expect.stringContaining(words) });
});

test('other bytes than were promised are refused, and not sent again', async () => {
  const uploading = uploadBlob(await open(), bytesSource(descriptor, Buffer.alloc(bytes.length)));
  await expect(uploading).rejects.toMatchObject({ code: 'registry/refused', message: expect.stringContaining('digest_invalid') });
  expect(registry.log).toEqual(['POST 202 0-0', 'PUT 400']);
});

test('what cannot be made ends the upload', async () => {
  const failure = new Error('no space');
  await expect(uploadBlob(await open(), growing(failure))).rejects.toBe(failure);
  expect(registry.blobs.size).toBe(0);
});
