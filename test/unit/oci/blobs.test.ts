import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sha256 } from '../../../src/base/digest.ts';
import { openStore, type Store } from '../../../src/base/store.ts';
import { Blobs } from '../../../src/oci/blobs.ts';

let root: string;
let store: Store;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'blobs-'));
  store = openStore(root);
});
afterEach(() => {
  store.close();
  rmSync(root, { recursive: true });
});

const bytes = Buffer.from('a document');

test('what is written is read back, and nothing else is left', () => {
  const blobs = new Blobs(store);
  const digest = blobs.write(bytes);
  expect(digest).toBe(sha256(bytes));
  expect(blobs.readIfWhole(digest, 100)).toEqual(bytes);
  expect(readdirSync(store.path('tmp'))).toEqual([]);
});

test('a blob cut short counts as absent, and is written anew', () => {
  const blobs = new Blobs(store);
  const digest = blobs.write(bytes);
  truncateSync(blobs.path(digest), 0);
  expect(blobs.has(digest, bytes.length)).toBe(false);
  expect(blobs.readIfWhole(digest, 100)).toBeUndefined();
  blobs.write(bytes);
  expect(blobs.readIfWhole(digest, 100)).toEqual(bytes);
});

test('a document above its limit is not read', () => {
  const blobs = new Blobs(store);
  expect(blobs.readIfWhole(blobs.write(bytes), bytes.length - 1)).toBeUndefined();
});

test('a checked file is taken over; a second of the same digest is no error', () => {
  const blobs = new Blobs(store);
  const file = store.path('tmp', 'x');
  writeFileSync(file, bytes);
  blobs.adopt(file, sha256(bytes));
  blobs.adopt(file, sha256(bytes));
  expect(blobs.readIfWhole(sha256(bytes), 100)).toEqual(bytes);
});
