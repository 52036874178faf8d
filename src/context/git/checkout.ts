// The files of a commit, checked out of its clone into a directory of this process (BuildKit: source/git, checkout). Submodules are repositories like
// the first: each has its clone. Nothing of a repository is executed, and nothing of it lands outside the directory.

import { lstatSync, lutimesSync, mkdirSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { TbuildError } from '../../base/errors.ts';
import { redactUrl } from '../../http/url.ts';
import { fetchInto, type GitPlaces, objectFormat, refOf, type WantedCommit } from './clones.ts';
import { type GitAccess, type GitCall, runGit } from './command.ts';
import type { ResolvedGit } from './refs.ts';
import { checkRemote, type GitSource, isCommit } from './url.ts';

export interface CheckedOut {
  readonly root: string;
  /** When the commit was made, in seconds since the epoch. */
  readonly modifiedAt: number;
}

/** Deeper than anybody nests submodules. */
const MAX_DEPTH = 16;

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

/** Returns the clone that it comes from. */
async function checkOut(work: Work, wanted: WantedCommit, directory: string, depth: number): Promise<string> {
  const { access, places, keepGitDir } = work;
  const clone = await fetchInto(access, places, wanted, work.scope);
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
  { id, ref, remote }: WantedCommit,
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

async function checkOutSubmodules(
  work: Work,
  clone: string,
  { remote, id }: WantedCommit,
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
