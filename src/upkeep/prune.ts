// Removes what is kept for the sake of later builds: everything that nothing needs, or as much as a limit asks for, the longest unused first.
// Safe beside running builds: what another process may have found already stays until that process has ended.

import { renameSync, statfsSync } from 'node:fs';
import type { Digest } from '../base/digest.ts';
import { Images } from '../images/store.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { listUsage, type UsageItem, type UsageType } from './usage.ts';

/** What is remembered of removed steps, so that a later build can say why it runs them. */
const REMEMBER_MS = 90 * 24 * 3_600_000;

/** Buildx's rules: with a limit, no more is removed than it asks for. */
export interface PruneOptions {
  /** Results that named images have too, and the compressed layers of pulled images. */
  readonly all?: boolean;
  readonly types?: readonly UsageType[];
  /** Ids, or beginnings of them. */
  readonly ids?: readonly string[];
  /** Only what was not used since, in ms since the epoch. */
  readonly unusedSince?: number;
  /** Stays in any case, of what was used last. */
  readonly reservedBytes?: number;
  /** The cache is to take no more than this. */
  readonly maxUsedBytes?: number;
  /** The disk is to have as much left. */
  readonly minFreeBytes?: number;
}

export interface Pruned {
  readonly items: readonly UsageItem[];
  readonly sizeBytes: number;
}

export async function prune(place: Workplace, options: PruneOptions): Promise<Pruned> {
  const all = await listUsage(place);
  const items = choose(all, options, freeBytes(place));
  const removed = await remove(place, items);
  return { items: removed, sizeBytes: removed.reduce((sum, { isShared, sizeBytes }) => sum + (isShared ? 0 : sizeBytes), 0) };
}

export function freeBytes({ store }: Workplace): number {
  const { bavail, bsize } = statfsSync(store.root);
  return bavail * bsize;
}

/** Whether `prune` without further words takes it. */
export function isReclaimable({ isShared, isInUse, type }: UsageItem): boolean {
  return !isShared && !isInUse && type !== 'blob';
}

/** What goes: what no build will miss, then the longest unused. Pure. */
export function choose(all: readonly UsageItem[], options: PruneOptions, free: number): UsageItem[] {
  const { reservedBytes = 0, maxUsedBytes, minFreeBytes } = options;
  const hasGoal = maxUsedBytes !== undefined || minFreeBytes !== undefined;
  const mayGo = (item: UsageItem) =>
    isReclaimable(item) || (!item.isInUse && (options.all === true || (hasGoal && item.type === 'blob')));
  const candidates = all
    .filter(mayGo)
    .filter(({ type }) => options.types?.includes(type) ?? true)
    .filter(({ id }) => options.ids?.some((beginning) => id.startsWith(beginning)) ?? true)
    .filter(({ lastUsed }) => options.unusedSince === undefined || lastUsed < options.unusedSince)
    .sort((a, b) => rank(a) - rank(b) || a.lastUsed - b.lastUsed);
  let used = all.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let freed = 0;
  const isWanted = () =>
    !hasGoal ||
    (maxUsedBytes !== undefined && used > maxUsedBytes) ||
    (minFreeBytes !== undefined && free + freed < minFreeBytes);
  const going: UsageItem[] = [];
  for (const item of candidates) {
    if (!isWanted() || used <= reservedBytes) break;
    going.push(item);
    used -= item.sizeBytes;
    if (!item.isShared) freed += item.sizeBytes;
  }
  return going;
}

/** Images without a name and compressed layers: nothing is executed again for want of them. */
function rank({ type }: UsageItem): number {
  return ['image', 'blob'].includes(type) ? 0 : 1;
}

/** Those that were really removed: somebody may have begun to use others meanwhile. */
async function remove(place: Workplace, items: readonly UsageItem[]): Promise<UsageItem[]> {
  const images = new Images(place.store, place.layers);
  const removed: UsageItem[] = [];
  for (const item of items) if (await removeOne(place, images, item)) removed.push(item);
  images.collect();
  forgetOld(place);
  return removed;
}

async function removeOne(place: Workplace, images: Images, item: UsageItem): Promise<boolean> {
  const { store } = place;
  switch (item.type) {
    case 'regular':
      return forgetResults(place, images, item);
    case 'exec.cachemount':
      return removeTree(place, store.path('mounts', item.id), store.path('mounts', `${item.id}.lock`));
    case 'source.git.checkout':
      return removeTree(place, store.path('sources', 'git', item.id), store.path('locks', `git-${item.id}`));
    case 'source.http':
      for (const end of ['json', 'content'])
        await place.serve.call('remove', { path: store.path('sources', 'http', `${item.id}.${end}`) });
      return true;
    case 'image':
      images.remove(`sha256:${item.id}`, { force: false });
      return true;
    case 'blob':
      images.dropLayerBlob(`sha256:${item.id}`);
      return true;
    case 'internal':
      return removeLeftOver(place, images, item);
  }
}

/** The traces of a layer, and the layer unless an image has it. Used meanwhile, it stays. */
function forgetResults({ store: { db } }: Workplace, images: Images, { id, lastUsed }: UsageItem): boolean {
  const layer: Digest = `blake3:${id}`;
  const isGone = db.immediate(() => {
    const fresher = db.get('SELECT 1 FROM traces WHERE layer = ? AND used > ?', layer, lastUsed);
    if (fresher) return false;
    const now = Date.now();
    db.run('INSERT OR REPLACE INTO pruned (key, at) SELECT DISTINCT key, ? FROM traces WHERE layer = ?', now, layer);
    db.run('DELETE FROM traces WHERE layer = ?', layer);
    db.run('DELETE FROM failures WHERE ? IN (SELECT value FROM json_each(failures.layers))', layer);
    return true;
  });
  if (isGone) images.releaseLayers([layer]);
  return isGone;
}

/** Its name goes under the lock that whoever uses it holds, so that nobody sees half of it. */
async function removeTree({ serve, newPath }: Workplace, path: string, lockPath: string): Promise<boolean> {
  const { lock } = await serve.call('lock', { path: lockPath, wait: false });
  if (lock === null) return false;
  const grave = newPath();
  try {
    renameSync(path, grave);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return false;
  } finally {
    await serve.call('unlock', { lock });
  }
  await serve.call('remove', { path: grave });
  return true;
}

function removeLeftOver({ store: { db }, layers }: Workplace, images: Images, { id }: UsageItem): boolean {
  const layer: Digest = `blake3:${id}`;
  if (!layers.get(layer)) images.blobs.remove(`sha256:${id}`);
  else {
    db.run('DELETE FROM failures WHERE ? IN (SELECT value FROM json_each(failures.layers))', layer);
    images.releaseLayers([layer]);
  }
  return true;
}

function forgetOld({ store: { db } }: Workplace): void {
  db.immediate(() => {
    const since = Date.now() - REMEMBER_MS;
    db.run('DELETE FROM pruned WHERE at < ?', since);
    db.run('DELETE FROM steps WHERE created < ? AND key NOT IN (SELECT key FROM traces)', since);
  });
}
