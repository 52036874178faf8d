// What names a git repository, and what in it: URLs of git's protocols, `git@host:path`, a fragment `#ref:subdir`, query parameters
// (BuildKit: util/gitutil, dfgitutil). Pure. What comes out can be given to git: no option, no other transport, no control character is in it.

import { TbuildError } from '../../base/errors.ts';
import { redactUrl } from '../../http/url.ts';

export interface GitSource {
  /** The repository: without fragment and query; user and password are still in it. */
  readonly remote: string;
  /** A branch, a tag, `refs/…`, or a whole commit; empty: the default branch. */
  readonly ref: string;
  /** Relative and clean; empty: all of it. */
  readonly subdir: string;
  /** The commit must begin with these hex digits; empty: any. */
  readonly checksum: string;
  readonly keepGitDir: boolean | undefined;
  readonly submodules: boolean;
  /** Of which time files are: of the checkout, or of the commit. */
  readonly mtime: 'checkout' | 'commit';
  /** The commit is `checksum`: the remote is not asked what the ref is. */
  readonly fetchByCommit: boolean;
}

/** `isKnown`: it is git, whatever the URL ends in (ADD --keep-git-dir says so). Undefined: something else. Throws `context/git-url`. */
export function parseGitUrl(text: string, isKnown = false): GitSource | undefined {
  const [, bare = '', query = '', fragment = ''] = /^([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s.exec(text) ?? [];
  if (!isGit(bare, isKnown)) return undefined;
  const parts = { ...readFragment(fragment), ...noQuery };
  readQuery(new URLSearchParams(query), parts);
  return check(checkRemote(bare), parts);
}

/** A build context may be written without a scheme: `github.com/user/repo` (docker: urlutil). */
export function parseGitContext(text: string): GitSource | undefined {
  return text.startsWith('github.com/') ? parseGitUrl(`https://${text}`, true) : parseGitUrl(text);
}

/** git's own protocols, `user@host:path`, and http(s) where the path ends in .git. */
function isGit(bare: string, isKnown: boolean): boolean {
  const scheme = /^([a-z0-9]+):\/\//i.exec(bare)?.[1]?.toLowerCase();
  if (scheme === undefined) return scpForm.test(bare);
  if (scheme === 'git' || scheme === 'ssh') return true;
  return (scheme === 'http' || scheme === 'https') && (isKnown || bare.endsWith('.git'));
}

const scpForm = /^[\w-]+@[a-z0-9.-]+:/i;
const remoteForm = /^(?:(?:https?|git|ssh):\/\/(?:[^/@]*@)?(?!-)[^/@]+\/|[\w-]+@(?!-)[a-z0-9.-]+:(?!-))[^\0-\x20\x7f]+$/i;

/** Returns it; throws for what git would take for something else than a place to fetch from, as `ext::sh -c …`. Submodules come here too. */
export function checkRemote(remote: string): string {
  if (remoteForm.test(remote) && !/[\0-\x20\x7f]/.test(remote)) return remote;
  throw new TbuildError('context/git-url', `${JSON.stringify(redactUrl(remote))} is no URL of a git repository`, {
    hint: 'https://host/path.git, ssh://user@host/path, git@host:path and git://host/path are',
  });
}

type Parts = { -readonly [Name in keyof Omit<GitSource, 'remote'>]: GitSource[Name] };

const noQuery = { checksum: '', keepGitDir: undefined, submodules: true, mtime: 'checkout', fetchByCommit: false } as const;

function readFragment(fragment: string): { ref: string; subdir: string } {
  const text = decode(fragment);
  const colon = text.indexOf(':');
  return colon < 0 ? { ref: text, subdir: '' } : { ref: text.slice(0, colon), subdir: text.slice(colon + 1) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw urlError(`invalid URL escape in "${text}"`);
  }
}

function readQuery(query: URLSearchParams, parts: Parts): void {
  for (const key of query.keys()) readParameter(key, query.getAll(key), parts);
  const [tag, branch] = [query.get('tag'), query.get('branch')];
  if (tag !== null && branch !== null) throw urlError('branch conflicts with tag');
  if (tag !== null) parts.ref = agree('ref', parts.ref, withPrefix('refs/tags/', tag));
  if (branch !== null) parts.ref = agree('ref', parts.ref, withPrefix('refs/heads/', branch));
  parts.ref ||= parts.checksum;
}

function readParameter(key: string, values: readonly string[], parts: Parts): void {
  if (values.length > 1) throw urlError(`query "${key}" has multiple values`);
  const value = values[0]!;
  const isFlag = ['submodules', 'keep-git-dir', 'fetch-by-commit'].includes(key);
  if (value === '' && !isFlag) throw urlError(`query "${key}" has no value`);
  switch (key) {
    case 'ref':
    case 'subdir':
      parts[key] = agree(key, parts[key], value);
      break;
    case 'tag':
    case 'branch':
      break;
    case 'checksum':
    case 'commit':
      parts.checksum = agree('checksum', parts.checksum, value);
      break;
    case 'keep-git-dir':
      parts.keepGitDir = readFlag(key, value);
      break;
    case 'submodules':
      parts.submodules = readFlag(key, value);
      break;
    case 'fetch-by-commit':
      parts.fetchByCommit = readFlag(key, value);
      break;
    case 'mtime':
      if (value !== 'checkout' && value !== 'commit')
        throw urlError(`invalid mtime value: "${value}"`, 'it is checkout or commit');
      parts.mtime = value;
      break;
    default:
      throw urlError(`unexpected query "${key}"`, `git URLs take ${knownParameters}`);
  }
}

const knownParameters = 'ref, tag, branch, subdir, checksum, commit, keep-git-dir, submodules, mtime, fetch-by-commit';

function agree(what: string, before: string, value: string): string {
  if (before === '' || before === value) return value;
  throw urlError(`${what} conflicts: "${before}" vs "${value}"`);
}

/** Go's strconv.ParseBool; no value is true. */
function readFlag(key: string, value: string): boolean {
  if (['', '1', 't', 'T', 'true', 'TRUE', 'True'].includes(value)) return true;
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(value)) return false;
  throw urlError(`invalid ${key} value: "${value}"`);
}

const withPrefix = (prefix: string, name: string): string => (name.startsWith(prefix) ? name : prefix + name);

function check(remote: string, parts: Parts): GitSource {
  const { ref, checksum, fetchByCommit } = parts;
  checkChecksum(checksum);
  if (!isRefName(ref)) throw urlError(`${JSON.stringify(ref)} is no name of a branch, tag or commit`);
  if (fetchByCommit && !isCommit(checksum)) throw urlError('fetch-by-commit needs the whole commit as checksum');
  return { remote, ...parts, checksum: checksum.toLowerCase(), subdir: cleanSubdir(parts.subdir) };
}

/** What git may have a ref called (git-check-ref-format): no option is among it. */
export const isRefName = (text: string): boolean => !/[\0-\x20\x7f~^:?*[\\]|\.\.|@\{|^-/.test(text);

export function checkChecksum(checksum: string): void {
  if (checksum === '' || /^[0-9a-f]+$/i.test(checksum)) return;
  throw urlError(`invalid checksum ${checksum} for Git URL, expected hex commit hash`);
}

/** All 40 or 64 digits. */
export const isCommit = (ref: string): boolean => /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(ref);

function cleanSubdir(subdir: string): string {
  const names = subdir.split('/').filter((name) => name !== '' && name !== '.');
  if (names.includes('..') || subdir.includes('\0'))
    throw urlError(`the subdirectory ${JSON.stringify(subdir)} leads out of the repository`);
  return names.join('/');
}

function urlError(message: string, hint?: string): TbuildError {
  return new TbuildError('context/git-url', message, { hint });
}
