// Directories of cache mounts: kept in the store from build to build, shared by every process, never part of a result.
// A cache is a family of directories of one name: where one may not be shared, the next free one is taken, or waited for
// (BuildKit: solver/llbsolver/mounts, getRefCacheDir). The lock that says so dies with its process.

import { chmodSync, existsSync, mkdirSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Digest, hexOf, sha256 } from '../base/digest.ts';
import type { RunMount } from '../plan/graph.ts';
import { copyTreeOut, openSource, presentResult } from './copy.ts';
import type { MountSource } from './mounts.ts';
import { selectTree } from './select.ts';
import type { Report, Result, Workshop } from './step.ts';

type CacheMount = RunMount & { type: 'cache' };
type Sharing = CacheMount['sharing'];

export interface HeldCaches {
  /** In the places of the mounts. */
  readonly directories: readonly (string | undefined)[];
  release(): Promise<void>;
}

interface Wanted {
  readonly name: string;
  readonly id: string;
  readonly target: string;
  sharing: Sharing;
  /** Makes a directory that holds the first content, as `source`. */
  readonly make: () => Promise<string>;
}

/** `inputs` and `sources` are in the places of the mounts. */
export async function holdCaches(
  workshop: Workshop,
  mounts: readonly RunMount[],
  inputs: readonly (Result | undefined)[],
  sources: readonly (MountSource | undefined)[],
  report: Report,
): Promise<HeldCaches> {
  const wanted = new Map<string, Wanted>();
  const names = mounts.map((mount, place) => {
    if (mount.type !== 'cache') return undefined;
    const one = wish(workshop, mount, inputs[place], sources[place]);
    const known = wanted.get(one.name);
    // One RUN has one directory of a name, however often it mounts it.
    if (!known) wanted.set(one.name, one);
    else if (strictness(one.sharing) < strictness(known.sharing)) known.sharing = one.sharing;
    return one.name;
  });
  const held = new Map<string, { readonly path: string; readonly lock: number }>();
  const release = async () => {
    for (const { lock } of held.values()) await workshop.serve.call('unlock', { lock });
  };
  try {
    // Those that are waited for come first, in one order: who waits holds nothing that another could be waiting for.
    const inOrder = [...wanted.values()].sort(
      (a, b) => strictness(a.sharing) - strictness(b.sharing) || (a.name < b.name ? -1 : 1),
    );
    for (const one of inOrder) held.set(one.name, await hold(workshop, one, report));
  } catch (error) {
    await release();
    throw error;
  }
  return { directories: names.map((name) => (name === undefined ? undefined : held.get(name)?.path)), release };
}

const strictness = (sharing: Sharing): number => ['locked', 'private', 'shared'].indexOf(sharing);

function wish(workshop: Workshop, mount: CacheMount, input: Result | undefined, source: MountSource | undefined): Wanted {
  const name = cacheName(mount, source?.exact() ?? []);
  const make = async () => {
    const kept = await workshop.findMount?.(name);
    if (kept !== undefined) return giveAttributes(workshop, mount, kept);
    if (!source) return emptyCache(workshop, mount);
    const open = openSource(workshop, await presentResult(workshop, input));
    return copyTreeOut(workshop, open, selectTree(open.tree, mount.source, open.what));
  };
  return { name, id: mount.id, target: mount.target, sharing: mount.sharing, make };
}

/** Caches of another owner, mode or origin are others (BuildKit: the state a cache begins with is part of its name). */
function cacheName({ id, uid, gid, mode, source }: CacheMount, origin: readonly Digest[]): string {
  return hexOf(sha256(JSON.stringify(['cache', id, uid, gid, mode, ...(origin.length > 0 ? [source, ...origin] : [])])));
}

/** The directories of cache mounts that begin empty: others' beginnings are not known before their stages are. */
export function cachesOf(mounts: readonly RunMount[]): { readonly name: string; readonly id: string }[] {
  const own = mounts.filter((mount): mount is CacheMount => mount.type === 'cache' && mount.from === undefined);
  return own.map((mount) => ({ name: cacheName(mount, []), id: mount.id }));
}

function emptyCache(workshop: Workshop, mount: CacheMount): Promise<string> {
  const folder = workshop.newPath();
  mkdirSync(join(folder, 'source'), { recursive: true });
  return giveAttributes(workshop, mount, folder);
}

async function giveAttributes({ serve }: Workshop, { uid, gid, mode }: CacheMount, folder: string): Promise<string> {
  const path = join(folder, 'source');
  chmodSync(path, mode);
  await serve.call('setOwner', { path, uid, gid });
  return folder;
}

/** Shared: with whoever shares it. Private: alone, in a directory of its own if need be. Locked: alone, in one that is there. */
async function hold(
  workshop: Workshop,
  { name, id, target, sharing, make }: Wanted,
  report: Report,
): Promise<{ path: string; lock: number }> {
  const shared = sharing === 'shared';
  for (let number = 0; ; number++) {
    const folder = workshop.storePath('mounts', number === 0 ? name : `${name}.${number}`);
    if (sharing === 'locked' && number > 0 && !existsSync(folder)) break;
    const { lock } = await workshop.serve.call('lock', { path: `${folder}.lock`, shared, wait: false });
    if (lock !== null) return { path: await open(workshop, folder, id, make), lock };
  }
  const folder = workshop.storePath('mounts', name);
  report.status(`waiting for the cache at ${target}, which another step has to itself`);
  const { lock } = await workshop.serve.call('lock', { path: `${folder}.lock`, shared, wait: true });
  return { path: await open(workshop, folder, id, make), lock: lock as number };
}

/** Says in it whose it is, and by its time when it was last of use: for who looks at what takes room. */
async function open({ serve }: Workshop, folder: string, id: string, make: () => Promise<string>): Promise<string> {
  if (!existsSync(folder)) {
    const made = await make();
    writeFileSync(join(made, 'id'), id);
    try {
      renameSync(made, folder);
    } catch (cause) {
      // Another process was first: its directory is in use.
      if (!existsSync(folder)) throw cause;
      await serve.call('remove', { path: made });
    }
  }
  const now = new Date();
  utimesSync(folder, now, now);
  return join(folder, 'source');
}
