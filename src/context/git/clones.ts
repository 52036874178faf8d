// The bare clones that the store keeps, one for each remote: a commit is fetched into its clone once, alone, and found there by every later build.

import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { hexOf, sha256 } from '../../base/digest.ts';
import { TbuildError } from '../../base/errors.ts';
import { redactUrl } from '../../http/url.ts';
import type { Serve } from '../../native/serve.ts';
import { type GitAccess, type GitCall, runGit } from './command.ts';
import { remoteCall, remotely } from './remote.ts';

export interface GitPlaces {
  readonly serve: Serve;
  /** Where clones are kept. */
  readonly clones: string;
  /** The lock of a clone, by its name. */
  readonly lockOf: (name: string) => string;
  /** Fresh names in a directory of this process, on the clones' file system. */
  readonly newPath: () => string;
}

export interface WantedCommit {
  readonly remote: string;
  /** The commit, or an annotated tag of it. */
  readonly id: string;
  /** The name by which the remote has it; undefined: none is known. */
  readonly ref: string | undefined;
}

/** Beyond this the longest unused goes. */
const KEEP_CLONES = 50;

/**
 * Fetches what is missing; returns the clone's path. `scope`: the remote that credentials are for. One process at a time works on a clone;
 * a kill leaves what git can go on from.
 */
export async function fetchInto(
  access: GitAccess,
  places: GitPlaces,
  { remote, id, ref }: WantedCommit,
  scope: string,
): Promise<string> {
  const name = hexOf(sha256(`${remote}\0${id.length}`)).slice(0, 32);
  const clone = join(places.clones, name);
  const { lock } = await places.serve.call('lock', { path: places.lockOf(name), wait: true });
  try {
    if (!existsSync(clone)) await makeClone(access, places, clone, id);
    const now = new Date();
    utimesSync(clone, now, now);
    const local: GitCall = { directory: clone, gitDir: clone };
    const isThere = () => succeeds(runGit(access, local, ['cat-file', '-e', `${id}^{commit}`]), access.signal);
    if (!(await isThere())) {
      const call = { ...remoteCall(access, remote, scope), gitDir: clone };
      const fetch = (...args: string[]) =>
        runGit(access, call, ['fetch', '--progress', '--no-tags', '--no-write-fetch-head', '--force', ...args]);
      await remotely(remote, () => fetchOne(clone, remote, id, ref, fetch, isThere));
      if (!(await isThere())) {
        throw new TbuildError('context/git-ref', `repository does not contain ref ${id}: ${redactUrl(remote)}`);
      }
    }
    await runGit(access, local, ['update-ref', refOf(id), id]);
    return clone;
  } finally {
    await places.serve.call('unlock', { lock: lock as number });
  }
}

/** By it a commit is known in its clone: what has a name is told to servers, and not fetched again. */
export const refOf = (id: string): string => `refs/tbuild/${id}`;
export const objectFormat = (id: string): string[] => (id.length === 64 ? ['--object-format=sha256'] : []);

async function makeClone(access: GitAccess, places: GitPlaces, clone: string, id: string): Promise<void> {
  const fresh = places.newPath();
  mkdirSync(fresh);
  mkdirSync(places.clones, { recursive: true, mode: 0o711 });
  await runGit(access, { directory: fresh }, ['init', '--quiet', '--bare', '--template=', ...objectFormat(id), '.']);
  await dropOldest(places);
  renameSync(fresh, clone);
}

/** Makes room for one more. A clone that somebody works on stays. */
async function dropOldest({ serve, clones, lockOf, newPath }: GitPlaces): Promise<void> {
  const usedMs = (name: string) => statSync(join(clones, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const aged = readdirSync(clones)
    .map((name) => ({ name, usedMs: usedMs(name) }))
    .sort((a, b) => b.usedMs - a.usedMs);
  for (const { name } of aged.slice(KEEP_CLONES - 1)) {
    const { lock } = await serve.call('lock', { path: lockOf(name), wait: false });
    if (lock === null) continue;
    const dropped = newPath();
    // Another process may have been first.
    const isThere = existsSync(join(clones, name));
    if (isThere) renameSync(join(clones, name), dropped);
    await serve.call('unlock', { lock });
    if (isThere) await serve.call('remove', { path: dropped });
  }
}

/** The commit alone where the server gives it, by the ref's name or its own; else all of the history. */
async function fetchOne(
  clone: string,
  remote: string,
  id: string,
  ref: string | undefined,
  fetch: (...args: string[]) => Promise<string>,
  isThere: () => Promise<boolean>,
): Promise<void> {
  // The lock is ours, so nobody holds these: a killed git left them.
  for (const left of ['shallow.lock', `${refOf(id)}.lock`]) rmSync(join(clone, left), { force: true });
  for (const from of ref === undefined ? [id] : [ref, id]) {
    const failure = await fetch('--depth=1', '--', remote, `${from}:${refOf(id)}`).catch((error: unknown) => error);
    if (await isThere()) return;
    if (failure instanceof TbuildError && !isRefusal(failure)) throw failure;
    if (failure instanceof Error && !(failure instanceof TbuildError)) throw failure;
  }
  const deepen = existsSync(join(clone, 'shallow')) ? ['--unshallow'] : [];
  await fetch(...deepen, '--', remote, '+refs/heads/*:refs/remote/heads/*', '+refs/tags/*:refs/remote/tags/*');
}

/** Servers without protocol 2 give what they have names for; dumb ones know no depth. */
const isRefusal = ({ details }: TbuildError): boolean =>
  /not our ref|unadvertised object|couldn't find remote ref|shallow|depth|clobber|unable to update local ref/i.test(
    String(details?.stderr),
  );

async function succeeds(run: Promise<unknown>, signal: AbortSignal): Promise<boolean> {
  try {
    await run;
    return true;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof TbuildError && error.code === 'context/git') return false;
    throw error;
  }
}
