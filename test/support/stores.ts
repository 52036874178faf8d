// Stores for tests, with the base images `busybox` and `debian:12` in them. Making one takes milliseconds, for layers and blobs never change:
// they are linked, not copied. A file's stores are removed after its last test.
import { cpSync, existsSync, mkdtempSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, inject } from 'vitest';
import { asOwner, removeTree } from './own-files.ts';

const made: string[] = [];
afterAll(() => {
  for (const root of made) removeTree(root);
});

/** A new store with the base images and nothing else. */
export function freshStore(): string {
  const root = emptyStore();
  fill(root);
  return root;
}

/** A directory for a store that has nothing at all. */
export function emptyStore(): string {
  const root = mkdtempSync(path.join(inject('storesRoot'), 'store-'));
  made.push(root);
  return root;
}

/** The store for tests that do not mind what others have built: $TBUILD_TEST_STORE, kept as it is, or one that lives as long as this run. */
export function sharedStore(): string {
  const root = process.env.TBUILD_TEST_STORE ?? path.join(inject('storesRoot'), 'shared');
  if (!existsSync(path.join(root, 'tbuild.db'))) fill(root);
  return root;
}

function fill(root: string): void {
  const bases = inject('basesRoot');
  // Without the file `version`: tbuild takes the store for one whose making was cut short, and makes the rest of its folders.
  cpSync(path.join(bases, 'index.json'), path.join(root, 'index.json'));
  for (const name of ['blobs', 'layers']) asOwner('cp', ['-a', '--link', path.join(bases, name), root]);
  // Not a copy of the file: what is written may still be in the write-ahead log.
  const database = new DatabaseSync(path.join(bases, 'tbuild.db'), { readOnly: true });
  database.prepare('VACUUM INTO ?').run(path.join(root, 'tbuild.db'));
  database.close();
}
