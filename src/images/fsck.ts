// `fsck`: reads everything the store holds and compares it with what its names and records promise. Changes nothing. Other processes may work
// at the same time, so what is in motion (their folders in tmp/) is left out.

import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { type Digest, sha256 } from '../base/digest.ts';
import type { Store } from '../base/store.ts';
import type { Serve } from '../native/serve.ts';
import { Blobs } from '../oci/blobs.ts';
import { isPresent, type Layer, type Layers } from '../snapshots/layers.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { attestationBlobs } from './attestations.ts';

export interface Problem {
  /** One line. */
  readonly what: string;
  readonly path: string;
  readonly hint: string;
}

export interface StoreCheck {
  readonly images: number;
  readonly layers: number;
  readonly blobs: number;
  readonly problems: readonly Problem[];
}

const REBUILD = 'remove what uses it (tbuild rmi), then build, load or pull it again';
const LEFT_OVER = 'a command was killed while it wrote; tbuild clears it away itself, or remove it';

export async function checkStore({ store, layers, serve }: Pick<Workplace, 'store' | 'layers' | 'serve'>): Promise<StoreCheck> {
  const limit = pLimit(availableParallelism());
  const blobs = readdirSync(store.path('blobs/sha256'));
  const all = layers.all();
  const read = await Promise.all([
    ...blobs.map((name) => limit(() => checkBlob(store, serve, name))),
    ...all.map((layer) => limit(() => checkLayer(layers, serve, layer))),
  ]);
  const problems = [
    ...read.flat(),
    ...checkImages(store, layers),
    ...checkIndexes(store),
    ...checkContainers(store, layers),
    ...checkTraces(store, layers),
    ...layers.strays().map((path) => ({ what: 'no record accounts for this file', path, hint: LEFT_OVER })),
    ...(await checkScratch(store, serve)),
  ];
  const images = store.db.get<{ count: number }>('SELECT count(*) AS count FROM images')?.count ?? 0;
  return { images, layers: all.length, blobs: blobs.length, problems };
}

async function checkBlob(store: Store, serve: Serve, name: string): Promise<Problem[]> {
  const path = store.path('blobs/sha256', name);
  const hint = 'remove the file: blobs can be loaded or pulled again';
  if (!/^[0-9a-f]{64}$/.test(name)) return [{ what: 'this is not named like a blob', path, hint }];
  try {
    const { digest } = await serve.call('sha256', { path });
    return digest === name ? [] : [{ what: `the blob sha256:${name} has the bytes of sha256:${digest}`, path, hint }];
  } catch (error) {
    // Another process may have removed it since.
    return existsSync(path) ? [{ what: `the blob cannot be read: ${(error as Error).message}`, path, hint }] : [];
  }
}

async function checkLayer(layers: Layers, serve: Serve, layer: Layer): Promise<Problem[]> {
  if (!isPresent(layer)) return checkAbsent(layers, serve, layer);
  const [index, data] = [layers.indexPath(layer.id), layers.dataPath(layer)];
  const needed = [index, data, ...(layer.split ? [layers.splitPath(layer.id)] : [])];
  const missing = needed.filter((path) => !existsSync(path));
  if (missing.length > 0) return missing.map((path) => ({ what: `the layer ${layer.id} lacks this file`, path, hint: REBUILD }));
  try {
    const { problems } = await serve.call('verify', { index, data });
    return problems.map((problem) => ({ what: `layer ${layer.id}: ${problem}`, path: data, hint: REBUILD }));
  } catch (error) {
    return [{ what: `the layer ${layer.id} cannot be read: ${(error as Error).message}`, path: index, hint: REBUILD }];
  }
}

/** Of a layer whose data is elsewhere the index is here. */
async function checkAbsent(layers: Layers, serve: Serve, layer: Layer): Promise<Problem[]> {
  const path = layers.indexPath(layer.id);
  try {
    await serve.call('verifyIndex', { path });
    return [];
  } catch (error) {
    return [{ what: `the index of the layer ${layer.id} is not whole: ${(error as Error).message}`, path, hint: REBUILD }];
  }
}

function checkImages(store: Store, layers: Layers): Problem[] {
  const path = store.path('tbuild.db');
  const images = store.db.all<{ id: Digest; layers: string }>('SELECT id, layers FROM images');
  const missing = images.flatMap(({ id, layers: ids }) =>
    (JSON.parse(ids) as Digest[])
      .filter((layer) => !layers.get(layer))
      .map((layer) => ({ what: `the image ${id} lacks the layer ${layer}`, path, hint: REBUILD })),
  );
  const nameless = store.db
    .all<{ name: string; image: string }>('SELECT name, image FROM names WHERE image NOT IN (SELECT id FROM images)')
    .map(({ name, image }) => ({
      what: `the name ${name} stands for the image ${image}, which is not here`,
      path,
      hint: REBUILD,
    }));
  return [...missing, ...nameless];
}

function checkContainers(store: Store, layers: Layers): Problem[] {
  return store.db.all<{ name: string; layers: string }>('SELECT name, layers FROM containers').flatMap(({ name, layers: ids }) =>
    (JSON.parse(ids) as Digest[])
      .filter((layer) => !layers.get(layer))
      .map((layer) => ({
        what: `the container ${name} lacks the layer ${layer}`,
        path: store.path('tbuild.db'),
        hint: 'remove the container (tbuild rm), and run it again when its image is built, loaded or pulled again',
      })),
  );
}

function checkIndexes(store: Store): Problem[] {
  const path = store.path('tbuild.db');
  const changed = store.db
    .all<{ id: Digest; document: string }>('SELECT id, document FROM indexes')
    .filter(({ id, document }) => sha256(document) !== id)
    .map(({ id }) => ({ what: `the index ${id} has other bytes than its digest says`, path, hint: REBUILD }));
  const lacking = store.db
    .all<{ id: string; image: string }>(
      'SELECT index_id AS id, image FROM index_images WHERE image NOT IN (SELECT id FROM images)',
    )
    .map(({ id, image }) => ({ what: `the index ${id} lacks the image ${image}`, path, hint: REBUILD }));
  return [...changed, ...lacking, ...checkAttestations(store)];
}

function checkAttestations(store: Store): Problem[] {
  const blobs = new Blobs(store);
  return store.db.all<{ id: string; document: string }>('SELECT id, document FROM indexes').flatMap(({ id, document }) =>
    attestationBlobs(blobs, document)
      .filter(({ digest, size }) => !blobs.has(digest, size))
      .map(({ digest }) => ({
        what: `of what the index ${id} says of its images the blob ${digest} is missing`,
        path: blobs.path(digest),
        hint: 'nothing to do: the images are whole, and are saved without it',
      })),
  );
}

function checkTraces(store: Store, layers: Layers): Problem[] {
  return store.db
    .all<{ layer: Digest }>('SELECT DISTINCT layer FROM traces WHERE layer IS NOT NULL')
    .filter(({ layer }) => !layers.get(layer))
    .map(({ layer }) => ({
      what: `the build cache lacks the layer ${layer}`,
      path: store.path('tbuild.db'),
      hint: 'nothing to do: the step is run again when it is needed',
    }));
}

/** A process's folder in tmp/ has a lock that it holds for life. Names with a dot belong to the locking itself. */
async function checkScratch(store: Store, serve: Serve): Promise<Problem[]> {
  const folder = store.path('tmp');
  const found = await Promise.all(
    readdirSync(folder)
      .filter((name) => !name.startsWith('.'))
      .map(async (name) => {
        const path = join(folder, name);
        const lockFile = join(path, 'lock');
        if (!existsSync(lockFile)) return existsSync(path) ? [{ what: 'no process owns this', path, hint: LEFT_OVER }] : [];
        const { lock } = await serve.call('lock', { path: lockFile, shared: true, wait: false });
        if (lock === null) return [];
        await serve.call('unlock', { lock });
        return [{ what: 'the process that owned this folder is gone', path, hint: LEFT_OVER }];
      }),
  );
  return found.flat();
}
