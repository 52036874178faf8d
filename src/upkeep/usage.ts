// What the store keeps so that builds are fast, a line for each thing: how large it is, when it was last of use, and whether it can go.
// Named images are not among it: people remove those. Changes nothing.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Digest, hexOf } from '../base/digest.ts';
import type { Store } from '../base/store.ts';
import { attestationBlobs } from '../images/attestations.ts';
import type { Image, ImageIndex } from '../images/image.ts';
import { Images } from '../images/store.ts';
import type { Driver, Serve } from '../native/serve.ts';
import { Blobs } from '../oci/blobs.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { describeStep } from './describe-step.ts';

/** BuildKit's words, for they stand in people's filters: results of steps, cache mounts, git clones, downloads, what nothing refers to. `image`: one without a name. */
export const usageTypes = [
  'regular',
  'exec.cachemount',
  'source.git.checkout',
  'source.http',
  'image',
  'blob',
  'internal',
] as const;
export type UsageType = (typeof usageTypes)[number];

export interface UsageItem {
  /** Unique among all of them. */
  readonly id: string;
  readonly type: UsageType;
  /** One line: the instruction, the URL, the cache's id. */
  readonly description: string;
  readonly sizeBytes: number;
  /** Milliseconds since the epoch. */
  readonly lastUsed: number;
  /** A named image has it too: it takes no room of its own. */
  readonly isShared: boolean;
  /** Somebody works with it at this moment. */
  readonly isInUse: boolean;
}

export async function listUsage(place: Workplace): Promise<UsageItem[]> {
  const [mounts, clones] = await Promise.all([cacheMounts(place), gitClones(place)]);
  return [...layerItems(place), ...mounts, ...clones, ...downloads(place), ...blobItems(place)];
}

interface LayerRow {
  readonly id: Digest;
  readonly driver: Driver;
  readonly bytes: number;
  readonly created: number;
  readonly used: number | null;
  readonly record: string | null;
}

/** Results of steps, images without a name, and layers of images that never arrived. Layers of named images alone are those images'. */
function layerItems({ store, layers }: Workplace): UsageItem[] {
  const images = new Images(store, layers).listTops();
  const nameless = images.filter(({ names }) => names.length === 0);
  const ofNameless = new Set(nameless.flatMap(layersOf));
  const ofNamed = new Set(images.filter(({ names }) => names.length > 0).flatMap(layersOf));
  const rows = store.db.all<LayerRow>(`
    SELECT layers.id, layers.driver, iif(layers.absent IS NULL, layers.bytes, 0) AS bytes, layers.created,
      (SELECT max(used) FROM traces WHERE traces.layer = layers.id) AS used,
      (SELECT record FROM traces JOIN steps USING (key) WHERE traces.layer = layers.id ORDER BY used DESC LIMIT 1) AS record
    FROM layers WHERE condemned IS NULL`);
  // A container's image is no left-over, nor are its layers: they take no room that could be had.
  const ofContainers = new Set(
    store.db
      .all<{ id: string }>('SELECT image AS id FROM containers UNION SELECT value FROM containers, json_each(layers)')
      .map(({ id }) => id),
  );
  const failed = store.db.all<{ id: Digest }>('SELECT value AS id FROM failures, json_each(failures.layers)');
  const ofFailed = new Set(failed.map(({ id }) => id));
  const since = layers.oldestOther();
  const size = ({ id, driver, bytes }: LayerRow) =>
    driver === 'erofs' ? sizeOf(store.path('layers', `${hexOf(id)}.erofs`)) : bytes;
  const results = rows.map((row): UsageItem | undefined => {
    const { id, created, used, record } = row;
    const what = { id: hexOf(id), sizeBytes: size(row), isShared: ofNamed.has(id) || ofContainers.has(id) };
    if (record !== null)
      return { ...what, type: 'regular', description: describeStep(record), lastUsed: used ?? created, isInUse: false };
    if (ofNamed.has(id) || ofNameless.has(id) || ofContainers.has(id)) return undefined;
    // Before it is in an image, or the cache, a layer belongs to who made it.
    const description = ofFailed.has(id) ? 'what a RUN left that failed' : 'a layer of an image that never came to its end';
    return { ...what, type: 'internal', description, lastUsed: created, isInUse: !ofFailed.has(id) && created >= since };
  });
  const alone = new Map(
    rows
      .filter(({ id, record }) => record === null && !ofNamed.has(id) && !ofContainers.has(id))
      .map((row) => [row.id, size(row)]),
  );
  return [...results.filter((item) => item !== undefined), ...nameless.map((image) => imageItem(image, alone, ofContainers))];
}

/** `alone`: layers that no name and no step leads to, with their sizes; those of this one are counted with it, and not again. */
function imageItem(image: Image | ImageIndex, alone: Map<Digest, number>, used: ReadonlySet<string>): UsageItem {
  let sizeBytes = 0;
  for (const layer of layersOf(image)) {
    sizeBytes += alone.get(layer) ?? 0;
    alone.delete(layer);
  }
  const isInUse = 'config' in image ? used.has(image.id) : image.images.some((member) => used.has(member.image.id));
  const what = { id: hexOf(image.id), type: 'image', description: 'an image without a name' } as const;
  return { ...what, sizeBytes, lastUsed: image.added, isShared: false, isInUse };
}

function layersOf(image: Image | ImageIndex): readonly Digest[] {
  return 'config' in image ? image.layers : image.images.flatMap((member) => member.image.layers);
}

async function cacheMounts({ store, serve }: Workplace): Promise<UsageItem[]> {
  const folder = store.path('mounts');
  const names = readdirSync(folder).filter((name) => /^[0-9a-f]{64}(\.\d+)?$/.test(name));
  return Promise.all(
    names.map(async (name) => {
      const path = join(folder, name);
      return {
        id: name,
        type: 'exec.cachemount' as const,
        description: `cache mount ${idOfMount(path)}`,
        sizeBytes: (await serve.call('measure', { path })).bytes,
        lastUsed: timeOf(path),
        isShared: false,
        isInUse: await isLocked(serve, `${path}.lock`),
      };
    }),
  );
}

/** Written when it was made; one of an earlier tbuild has none. */
function idOfMount(path: string): string {
  try {
    return readFileSync(join(path, 'id'), 'utf8');
  } catch {
    return 'of an unknown id';
  }
}

async function gitClones({ store, serve }: Workplace): Promise<UsageItem[]> {
  const folder = store.path('sources', 'git');
  return Promise.all(
    namesIn(folder).map(async (name) => {
      const path = join(folder, name);
      return {
        id: name,
        type: 'source.git.checkout' as const,
        description: 'a clone of a git repository',
        sizeBytes: (await serve.call('measure', { path })).bytes,
        lastUsed: timeOf(path),
        isShared: false,
        isInUse: await isLocked(serve, store.path('locks', `git-${name}`)),
      };
    }),
  );
}

function downloads({ store }: Workplace): UsageItem[] {
  const folder = store.path('sources', 'http');
  const names = namesIn(folder).flatMap((name) => /^(.*)\.content$/.exec(name)?.[1] ?? []);
  return names.map((name) => ({
    id: name,
    type: 'source.http',
    description: 'a download',
    sizeBytes: sizeOf(join(folder, `${name}.content`)),
    lastUsed: timeOf(join(folder, `${name}.json`)),
    isShared: false,
    isInUse: false,
  }));
}

/**
 * Compressed layers as registries have them, which come back from there, or can be made again: then with another digest. Those of nothing that is
 * known here were left by a pull that never came to its end.
 */
function blobItems({ store, layers }: Workplace): UsageItem[] {
  const ofLayers = new Set(
    store.db.all<{ blob: Digest }>('SELECT blob FROM layers WHERE blob IS NOT NULL').map(({ blob }) => hexOf(blob)),
  );
  const documents = documentBlobs(store);
  const since = layers.oldestOther();
  return namesIn(store.path('blobs/sha256'))
    .filter((name) => /^[0-9a-f]{64}$/.test(name) && !documents.has(name))
    .map((name) => {
      const path = store.path('blobs/sha256', name);
      const isKnown = ofLayers.has(name);
      return {
        id: name,
        type: isKnown ? 'blob' : 'internal',
        description: isKnown ? 'a layer as its registry has it, compressed' : 'a blob that nothing refers to',
        sizeBytes: sizeOf(path),
        lastUsed: timeOf(path),
        isShared: false,
        isInUse: !isKnown && timeOf(path) >= since,
      };
    });
}

/** Configs, manifests, indexes and what is said of images: the images'. */
function documentBlobs(store: Store): Set<string> {
  const known = store.db.all<{ digest: Digest | null }>(
    'SELECT id AS digest FROM images UNION SELECT manifest FROM images UNION SELECT id FROM indexes',
  );
  const blobs = new Blobs(store);
  const said = store.db
    .all<{ document: string }>('SELECT document FROM indexes')
    .flatMap(({ document }) => attestationBlobs(blobs, document));
  return new Set([...known.flatMap(({ digest }) => digest ?? []), ...said.map(({ digest }) => digest)].map(hexOf));
}

async function isLocked(serve: Serve, path: string): Promise<boolean> {
  if (!existsSync(path)) return false;
  const { lock } = await serve.call('lock', { path, wait: false });
  if (lock !== null) await serve.call('unlock', { lock });
  return lock === null;
}

function namesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

/** As the disk has it; of what has gone meanwhile nothing. */
function sizeOf(path: string): number {
  return (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * 512;
}

function timeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
