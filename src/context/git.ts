// A git repository as a source: which commit a ref is now, the commit fetched into a bare clone of ours that later builds go on from, and its files
// checked out (BuildKit: source/git). Submodules are repositories like the first: each has its clone. Nothing of a repository is executed.

import {
  existsSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { hexOf, sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { Serve } from '../native/serve.ts';
import { type GitAccess, type GitCall, runGit } from './git-command.ts';
import { checkRemote, type GitSource, isCommit, redactUrl } from './git-url.ts';

export interface GitPlaces {
  readonly serve: Serve;
  /** Where clones are kept. */
  readonly clones: string;
  /** The lock of a clone, by its name. */
  readonly lockOf: (name: string) => string;
  /** Fresh names in a directory of this process, on the clones' file system. */
  readonly newPath: () => string;
}

export interface ResolvedGit {
  /** What was asked for: the commit, or the annotated tag of it. */
  readonly id: string;
  /** The same as a commit, where the remote said so. */
  readonly commit: string;
  /** `refs/heads/main`; undefined: a commit was asked for. */
  readonly ref: string | undefined;
}

export interface CheckedOut {
  readonly root: string;
  /** When the commit was made, in seconds since the epoch. */
  readonly modifiedAt: number;
}

/** Beyond this the longest unused goes. */
const KEEP_CLONES = 50;

/** Deeper than anybody nests submodules. */
const MAX_DEPTH = 16;

/** Asks the remote, unless the source names a whole commit. */
export async function resolveGit(access: GitAccess, source: GitSource): Promise<ResolvedGit> {
  const { ref, checksum } = source;
  const given = source.fetchByCommit ? checksum : ref;
  if (isCommit(given)) {
    if (!given.startsWith(checksum)) throw wrongCommit(checksum, given);
    return { id: given, commit: given, ref: isCommit(ref) || ref === '' ? undefined : ref };
  }
  const wanted = ref === '' ? ['--symref', '--', source.remote, 'HEAD'] : ['--', source.remote, ref, `${ref}^{}`];
  const answer = await remotely(source.remote, () =>
    runGit(access, remoteCall(access, source.remote, source.remote), ['ls-remote', ...wanted]),
  );
  const resolved = ref === '' ? findHead(answer) : findRef(answer, ref);
  if (resolved === undefined) {
    const what = ref === '' ? 'a default branch' : `ref ${ref}`;
    throw new TbuildError('context/git-ref', `repository does not contain ${what}: ${redactUrl(source.remote)}`, {
      hint: /^[0-9a-f]{4,39}$/.test(ref) ? 'a commit is named by all of its 40 digits' : undefined,
    });
  }
  if (!resolved.id.startsWith(checksum) && !resolved.commit.startsWith(checksum)) {
    throw wrongCommit(checksum, resolved.id === resolved.commit ? resolved.id : `${resolved.id} or ${resolved.commit}`);
  }
  return resolved;
}

const wrongCommit = (checksum: string, found: string): TbuildError =>
  new TbuildError('context/checksum', `expected checksum to match ${checksum}, got ${found}`);

function findHead(answer: string): ResolvedGit | undefined {
  const branch = /^ref: (refs\/heads\/\S+)\tHEAD$/m.exec(answer)?.[1];
  const id = /^([0-9a-f]+)\tHEAD$/m.exec(answer)?.[1];
  return id !== undefined && isCommit(id) ? { id, commit: id, ref: branch ?? 'HEAD' } : undefined;
}

/** A branch goes before a tag of its name, as with git checkout. */
function findRef(answer: string, ref: string): ResolvedGit | undefined {
  const ids = new Map(answer.split('\n').map((line) => line.split('\t').reverse() as [string, string]));
  const short = (prefix: string) => prefix + (ref.startsWith(prefix) ? ref.slice(prefix.length) : ref);
  for (const name of [short('refs/'), short('refs/heads/'), short('refs/tags/')]) {
    const id = ids.get(name);
    if (id !== undefined && isCommit(id)) return { id, commit: ids.get(`${name}^{}`) ?? id, ref: name };
  }
  return undefined;
}

/** The files of a source as a directory of this process. */
export async function checkOutGit(
  access: GitAccess,
  places: GitPlaces,
  source: GitSource,
  resolved: ResolvedGit,
): Promise<CheckedOut> {
  const top = places.newPath();
  mkdirSync(top);
  // A part of a repository is none.
  const keepGitDir = source.keepGitDir === true && source.subdir === '';
  const work: Work = { access, places, scope: source.remote, submodules: source.submodules, keepGitDir };
  const clone = await checkOut(work, { remote: source.remote, ...resolved }, top, 0);
  const time = await runGit(access, { directory: clone, gitDir: clone }, [
    'show',
    '-s',
    '--format=%ct',
    `${resolved.id}^{commit}`,
  ]);
  const modifiedAt = Number(time.trim());
  if (source.mtime === 'commit') setTimes(top, new Date(modifiedAt * 1000));
  return { root: findSubdir(top, source), modifiedAt };
}

interface Work {
  readonly access: GitAccess;
  readonly places: GitPlaces;
  /** The remote that credentials are for. */
  readonly scope: string;
  readonly submodules: boolean;
  readonly keepGitDir: boolean;
}

interface Wanted {
  readonly remote: string;
  readonly id: string;
  readonly ref: string | undefined;
}

/** Returns the clone that it comes from. */
async function checkOut(work: Work, wanted: Wanted, directory: string, depth: number): Promise<string> {
  const { access, places, keepGitDir } = work;
  const clone = await fetchInto(work, wanted);
  if (keepGitDir) await checkOutWithGitDir(access, clone, wanted, directory);
  else {
    // An index of its own: neither another checkout nor a fetch is in the way.
    const indexFile = places.newPath();
    await runGit(access, { directory, gitDir: clone, workTree: directory, indexFile }, ['read-tree', '--reset', '-u', wanted.id]);
    rmSync(indexFile, { force: true });
  }
  if (work.submodules) await checkOutSubmodules(work, clone, wanted, directory, depth);
  return clone;
}

/** A repository of its own beside the files, with this commit alone; its remote without secrets. */
async function checkOutWithGitDir(
  access: GitAccess,
  clone: string,
  { id, ref, remote }: Wanted,
  directory: string,
): Promise<void> {
  const git = (args: readonly string[], protocols?: string) =>
    runGit(access, { directory, ...(protocols !== undefined && { protocols }) }, args);
  await git(['init', '--quiet', '--template=', ...objectFormat(id)]);
  const refspec = `${refOf(id)}:${ref?.startsWith('refs/') ? ref : refOf(id)}`;
  // By the protocol, which looks at what it is given: a local clone would copy whatever is there.
  await git(
    [
      'fetch',
      '--quiet',
      '--update-head-ok',
      '--depth=1',
      '--no-tags',
      '--no-write-fetch-head',
      pathToFileURL(clone).href,
      refspec,
    ],
    'file',
  );
  await git(['checkout', '--quiet', '--detach', `${id}^{commit}`]);
  await git(['remote', 'add', 'origin', redactUrl(remote)]);
  rmSync(join(directory, '.git/logs'), { recursive: true, force: true });
}

/** Fetches what is missing. One process at a time works on a clone; a kill leaves what git can go on from. */
async function fetchInto({ access, places, scope }: Work, { remote, id, ref }: Wanted): Promise<string> {
  const name = hexOf(sha256(`${remote}\0${id.length}`)).slice(0, 32);
  const clone = join(places.clones, name);
  const { lock } = await places.serve.call('lock', { path: places.lockOf(name), wait: true });
  try {
    if (!existsSync(clone)) await makeClone(access, places, clone, id);
    const now = new Date();
    utimesSync(clone, now, now);
    const local: GitCall = { directory: clone, gitDir: clone };
    const isThere = () => succeeds(runGit(access, local, ['cat-file', '-e', `${id}^{commit}`]), access.signal);
    if (await isThere()) {
      await runGit(access, local, ['update-ref', refOf(id), id]);
      return clone;
    }
    const call = { ...remoteCall(access, remote, scope), gitDir: clone };
    const fetch = (...args: string[]) =>
      runGit(access, call, ['fetch', '--progress', '--no-tags', '--no-write-fetch-head', '--force', ...args]);
    await remotely(remote, () => fetchOne(clone, remote, id, ref, fetch, isThere));
    if (!(await isThere())) {
      throw new TbuildError('context/git-ref', `repository does not contain ref ${id}: ${redactUrl(remote)}`);
    }
    await runGit(access, local, ['update-ref', refOf(id), id]);
    return clone;
  } finally {
    await places.serve.call('unlock', { lock: lock as number });
  }
}

const refOf = (id: string): string => `refs/tbuild/${id}`;
const objectFormat = (id: string): string[] => (id.length === 64 ? ['--object-format=sha256'] : []);

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

/** An encrypted remote never sends us to an open one. Credentials go to the remote that they are for, and to no other that it sends us to. */
function remoteCall(access: GitAccess, remote: string, scope: string): GitCall {
  const authorization = findAuthorization(access, scope);
  const scheme = /^(https?|git):/i.exec(remote)?.[1]?.toLowerCase() ?? 'ssh';
  return {
    directory: '/',
    gitDir: '/dev/null',
    protocols: scheme === 'http' ? 'http:https' : scheme,
    config: authorization === undefined ? [] : [...authorization, ['http.followRedirects', 'false']],
  };
}

/** BuildKit: source/git, getAuthToken. */
function findAuthorization({ secret }: GitAccess, remote: string): [string, string][] | undefined {
  const host = /^https?:\/\/(?:[^/@]*@)?([^/]+)/i.exec(remote)?.[1];
  if (host === undefined) return undefined;
  for (const suffix of [`.${host}`, '']) {
    const header = secret(`GIT_AUTH_HEADER${suffix}`)?.toString().trim();
    const token = secret(`GIT_AUTH_TOKEN${suffix}`)?.toString().trim();
    const value =
      header ?? (token === undefined ? undefined : `Basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`);
    if (value !== undefined) return [[`http.${tokenScope(remote)}.extraheader`, `Authorization: ${value}`]];
  }
  return undefined;
}

/** One token serves all of github.com's repositories, as with actions/checkout. */
function tokenScope(remote: string): string {
  return /^https:\/\/(?:www\.)?github\.com\//.exec(remote)?.[0] ?? remote.replace(/\/\/[^/@]*@/, '//');
}

async function remotely<T>(remote: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof TbuildError) || error.code !== 'context/git') throw error;
    const { message, cause, details } = error;
    throw new TbuildError('context/git', `failed to fetch remote ${redactUrl(remote)}: ${message}`, {
      cause,
      details,
      hint: /could not read Username|Authentication failed|40[13]|Permission denied/.test(String(details?.stderr))
        ? 'give a token as the secret GIT_AUTH_TOKEN, or for ssh an agent with --ssh'
        : undefined,
    });
  }
}

async function checkOutSubmodules(
  work: Work,
  clone: string,
  { remote, id }: Wanted,
  directory: string,
  depth: number,
): Promise<void> {
  const { access } = work;
  const local: GitCall = { directory: clone, gitDir: clone };
  const listed = await runGit(access, local, ['ls-tree', '-z', `${id}^{commit}`, '--', '.gitmodules']);
  if (!listed.startsWith('100')) return;
  if (depth === MAX_DEPTH)
    throw new TbuildError('context/git', `submodules are nested more than ${MAX_DEPTH} deep in ${redactUrl(work.scope)}`);
  const config = await runGit(access, local, ['config', '--no-includes', '--list', '-z', '--blob', `${id}^{commit}:.gitmodules`]);
  for (const { name, path, url } of readModules(config)) {
    const entry = await runGit(access, local, ['ls-tree', '-z', `${id}^{commit}`, '--', path]);
    const commit = /^160000 commit ([0-9a-f]+)\t/.exec(entry)?.[1];
    if (commit === undefined || !isCommit(commit)) continue;
    const from = submoduleRemote(remote, url, name);
    await checkOut(work, { remote: from, id: commit, ref: undefined }, emptyDirectory(directory, path), depth + 1);
  }
}

/** `key LF value NUL` for each. What is not to be updated is left out. */
function readModules(config: string): { name: string; path: string; url: string }[] {
  const modules = new Map<string, Map<string, string>>();
  for (const line of config.split('\0')) {
    const [, name, key, value] = /^submodule\.(.+)\.(path|url|update)\n(.*)$/s.exec(line) ?? [];
    if (name === undefined || key === undefined || value === undefined) continue;
    modules.set(name, (modules.get(name) ?? new Map()).set(key, value));
  }
  return [...modules].flatMap(([name, values]) => {
    const [path, url] = [values.get('path'), values.get('url')];
    return path === undefined || url === undefined || values.get('update') === 'none' ? [] : [{ name, path, url }];
  });
}

/** A relative one stands beside the repository that names it (git-submodule: resolve_relative_url). */
function submoduleRemote(parent: string, url: string, name: string): string {
  if (!url.startsWith('./') && !url.startsWith('../')) return checkSubmodule(url, name);
  let base = parent.replace(/\/+$/, '');
  let rest = url;
  for (;;) {
    if (rest.startsWith('./')) rest = rest.slice(2);
    else if (rest.startsWith('../')) {
      rest = rest.slice(3);
      base = base.replace(/[/:][^/:]*$/, '');
    } else return checkSubmodule(`${base}${parent.includes('://') || base.includes(':') ? '/' : ':'}${rest}`, name);
  }
}

function checkSubmodule(url: string, name: string): string {
  try {
    return checkRemote(url);
  } catch (cause) {
    throw new TbuildError(
      'context/git-url',
      `the submodule ${JSON.stringify(name)} has the URL ${JSON.stringify(redactUrl(url))}, which is not fetched`,
      {
        cause,
        hint: 'leave submodules out with ?submodules=false',
      },
    );
  }
}

/** Where git made room for a submodule: a directory, and no link on the way to it. */
function emptyDirectory(top: string, path: string): string {
  let at = top;
  for (const name of path.split('/')) {
    at = join(at, name);
    if (name === '..' || !lstatSync(at, { throwIfNoEntry: false })?.isDirectory()) {
      throw new TbuildError('context/git', `the submodule path ${JSON.stringify(path)} is no directory of its repository`);
    }
  }
  return at;
}

/** A link in the repository may lead to another of its directories, and nowhere else. */
function findSubdir(top: string, { subdir, remote }: GitSource): string {
  if (subdir === '') return top;
  let root: string | undefined;
  try {
    root = realpathSync(join(top, subdir));
  } catch {
    // It is not there, or leads in circles.
  }
  const isInside = root?.startsWith(`${realpathSync(top)}/`) || root === realpathSync(top);
  if (root === undefined || !isInside || !lstatSync(root).isDirectory()) {
    throw new TbuildError('context/git-subdir', `there is no directory ${subdir} in ${redactUrl(remote)}`);
  }
  return root;
}

function setTimes(path: string, time: Date): void {
  if (lstatSync(path).isDirectory()) for (const name of readdirSync(path)) setTimes(join(path, name), time);
  lutimesSync(path, time, time);
}
