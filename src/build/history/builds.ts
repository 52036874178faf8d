// The builds that there were, for people to look at: which, what came of their steps, their logs. Reads what builds have recorded.

import { existsSync, rmSync } from 'node:fs';
import { TbuildError } from '../../base/errors.ts';
import type { Store } from '../../base/store.ts';
import { type BuildRecord, type BuildStatus, findBuilds, listBuilds, removeBuild } from '../../cache/builds.ts';
import { bringIn, PENDING_BUILDS } from '../../cache/pending-builds.ts';
import { readLog } from './logs.ts';

/** `killed`: its process is gone, and it had not ended. */
export type ShownStatus = BuildStatus | 'killed';

export function statusOf(store: Store, { status, lease }: Pick<BuildRecord, 'status' | 'lease'>): ShownStatus {
  return status === 'running' && !existsSync(store.path('tmp', lease)) ? 'killed' : status;
}

/** Newest first. */
export function allBuilds(store: Store): BuildRecord[] {
  return listBuilds(recordsOf(store));
}

/** With those that waited. */
function recordsOf({ db, path }: Store): Store['db'] {
  bringIn(db, path(PENDING_BUILDS));
  return db;
}

/** By its id or a beginning of it; undefined: the last one. Throws `usage/unknown-build`, `usage/ambiguous-build`. */
export function findBuild(store: Store, id: string | undefined): BuildRecord {
  const hint = 'tbuild builds ls lists them';
  const db = recordsOf(store);
  const found = id === undefined ? listBuilds(db, 1) : findBuilds(db, id);
  if (found.length > 1) {
    const ids = found.map((build) => build.id).join(', ');
    throw new TbuildError('usage/ambiguous-build', `several builds begin with ${id}: ${ids}`, { hint: 'write more of it' });
  }
  if (found[0]) return found[0];
  const what = id === undefined ? 'nothing was built in this store yet' : `there is no build ${id}`;
  throw new TbuildError('usage/unknown-build', what, id === undefined ? {} : { hint });
}

/** Throws `usage/no-log` where it is not kept any more. */
export async function buildLog(store: Store, id: string | undefined): Promise<string> {
  const build = findBuild(store, id);
  const text = await readLog(store, build.log);
  if (text !== undefined) return text;
  throw new TbuildError('usage/no-log', `the log of build ${build.id} is not kept any more`);
}

/** Their ids. Undefined: all that have ended. */
export function removeBuilds(store: Store, ids: readonly string[] | undefined): string[] {
  const builds = ids?.map((id) => findBuild(store, id)) ?? allBuilds(store);
  const going = builds.filter((build) => {
    if (statusOf(store, build) !== 'running') return true;
    if (ids === undefined) return false;
    throw new TbuildError('usage/running-build', `build ${build.id} is not over`);
  });
  for (const { id, log } of going) {
    removeBuild(store.db, id);
    for (const name of [log, `${log}.zst`]) rmSync(store.path('logs', name), { force: true });
  }
  return going.map(({ id }) => id);
}
