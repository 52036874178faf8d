// Dockerfile.lock: what the names in a Dockerfile stood for when it was written (docs/lock.md). Read strictly, for people edit and merge it; written in
// one way only, so that equal locks are equal bytes and a change is a line in a diff.

import type { Digest } from '../../base/digest.ts';
import { TbuildError } from '../../base/errors.ts';
import { isCommit, isRefName } from '../../context/git/url.ts';
import {
  asDigest,
  asInteger,
  asList,
  asMembers,
  asString,
  badDocument,
  type Members,
  optional,
  parseJson,
} from '../../oci/document.ts';
import { isPinned, normalizeName } from '../../oci/reference.ts';

const LOCK_VERSION = 1;
/** As much as a Dockerfile may have. */
const MAX_BYTES = 16 << 20;

/** By what they are locked under: see `keys.ts`. */
export interface Lock {
  readonly images: ReadonlyMap<string, LockedImage>;
  readonly urls: ReadonlyMap<string, LockedFile>;
  readonly git: ReadonlyMap<string, LockedCommit>;
  /** Of --build-context: which of the above a name stood for. */
  readonly contexts: ReadonlyMap<string, string>;
  /** Those of the above that no Dockerfile names: an ONBUILD of a base image does. */
  readonly onbuild: ReadonlySet<string>;
}

export interface LockedImage {
  /** What the name stands for: an index, or a manifest. */
  readonly digest: Digest;
  /** Its manifests. Those who build go by `digest`, which holds them all; these are for readers. */
  readonly platforms: ReadonlyMap<string, Digest>;
}

export interface LockedFile {
  readonly checksum: Digest;
}

export interface LockedCommit {
  readonly commit: string;
  /** In full: `refs/tags/v1`; undefined: the remote did not say. */
  readonly ref: string | undefined;
}

export const EMPTY_LOCK: Lock = {
  images: new Map(),
  urls: new Map(),
  git: new Map(),
  contexts: new Map(),
  onbuild: new Set(),
};

/** `name` is what messages call it. Throws `dockerfile/bad-lock`. */
export function parseLock(bytes: Uint8Array, name: string): Lock {
  if (bytes.length > MAX_BYTES)
    throw new TbuildError('dockerfile/bad-lock', `${name} has ${bytes.length} bytes, more than the ${MAX_BYTES} allowed`);
  try {
    return readLock(bytes, name);
  } catch (error) {
    if (!(error instanceof TbuildError) || error.code !== 'image/bad-document') throw error;
    const isMerge = /^(?:<{7}|>{7}|={7})/m.test(Buffer.from(bytes).toString('latin1'));
    throw new TbuildError('dockerfile/bad-lock', error.message, {
      hint: isMerge
        ? 'take one side of the merge, and tbuild lock adds what is missing'
        : 'remove the file, and tbuild lock writes it anew',
    });
  }
}

function readLock(bytes: Uint8Array, name: string): Lock {
  const members = asMembers(parseJson(bytes, name), name);
  const version = asInteger(members.get('version'), `${name}, version`);
  if (version !== LOCK_VERSION) {
    throw new TbuildError('dockerfile/bad-lock', `${name} is of version ${version}: this tbuild reads version ${LOCK_VERSION}`);
  }
  const section = <T>(key: string, item: (value: unknown, where: string) => T, isKey = (_: string) => true) =>
    optional(members, key, name, (value, where) => asMap(value, where, item, isKey)) ?? new Map<string, T>();
  return {
    images: section('images', asImage, isFullName),
    urls: section('urls', asFile),
    git: section('git', asCommit),
    contexts: section('contexts', asString),
    onbuild: new Set(optional(members, 'onbuild', name, (value, where) => asList(value, where, asString))),
  };
}

function asMap<T>(
  value: unknown,
  where: string,
  item: (value: unknown, where: string) => T,
  isKey: (key: string) => boolean = () => true,
): ReadonlyMap<string, T> {
  const members = asMembers(value, where);
  for (const key of members.keys()) if (!isKey(key)) throw badDocument(`${where}, ${JSON.stringify(key)}`, 'is no full name');
  return new Map([...members].map(([key, each]) => [key, item(each, `${where}, ${key}`)]));
}

/** Of an image, with a tag. */
function isFullName(text: string): boolean {
  try {
    return normalizeName(text) === text && !isPinned(text);
  } catch (error) {
    if (error instanceof TbuildError) return false;
    throw error;
  }
}

function asImage(value: unknown, where: string): LockedImage {
  const members = asMembers(value, where);
  const platforms = optional(members, 'platforms', where, (each, at) => asMap(each, at, asDigest)) ?? new Map();
  return { digest: asDigest(members.get('digest'), `${where}, digest`), platforms };
}

function asFile(value: unknown, where: string): LockedFile {
  return { checksum: asDigest(asMembers(value, where).get('checksum'), `${where}, checksum`) };
}

function asCommit(value: unknown, where: string): LockedCommit {
  const members: Members = asMembers(value, where);
  const commit = asString(members.get('commit'), `${where}, commit`);
  if (!isCommit(commit)) throw badDocument(`${where}, commit`, 'is no whole commit');
  const ref = optional(members, 'ref', where, asString);
  // It goes to git as it is.
  if (ref !== undefined && !(ref.startsWith('refs/') && isRefName(ref))) throw badDocument(`${where}, ref`, 'is no ref');
  return { commit, ref };
}

/** Sorted; what is empty is left out. */
export function formatLock(lock: Lock): string {
  const document = {
    version: LOCK_VERSION,
    ...sectionOf('images', lock.images, ({ digest, platforms }) => ({ digest, platforms: sorted(platforms, String) })),
    ...sectionOf('urls', lock.urls, ({ checksum }) => ({ checksum })),
    ...sectionOf('git', lock.git, ({ commit, ref }) => ({ commit, ...(ref !== undefined && { ref }) })),
    ...sectionOf('contexts', lock.contexts, String),
    ...(lock.onbuild.size > 0 && { onbuild: [...lock.onbuild].sort() }),
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

function sectionOf<T>(key: string, entries: ReadonlyMap<string, T>, write: (value: T) => unknown): object {
  return entries.size === 0 ? {} : { [key]: sorted(entries, write) };
}

function sorted<T>(entries: ReadonlyMap<string, T>, write: (value: T) => unknown): object {
  const list = [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(list.map(([key, value]) => [key, write(value)]));
}
