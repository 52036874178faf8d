// Image references, read and written as docker does (distribution/reference: normalize.go, reference.go, regexp.go):
// `debian:12` means docker.io/library/debian:12. Pure; nothing here knows what exists.

import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';

export interface Reference {
  /** Host, with a port where one was written. */
  readonly domain: string;
  readonly path: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

const DEFAULT_DOMAIN = 'docker.io';
const OFFICIAL_PREFIX = 'library/';
const MAX_PATH_LENGTH = 255;
// Longer than any reference that can be valid: what comes here may be anything.
const MAX_LENGTH = 1024;

const HEX_ID = /^[0-9a-f]{64}$/;
const DOMAIN =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/;
const PATH_COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;
const SHA256 = /^sha256:[0-9a-f]{64}$/;

/** Throws `image/bad-reference`. A missing tag stays missing: see `withDefaultTag`. */
export function parseReference(text: string): Reference {
  if (text.length > MAX_LENGTH) throw invalid(text, 'it is too long');
  if (HEX_ID.test(text)) throw invalid(text, 'a name cannot be 64 hexadecimal digits: that is an image ID');
  const { domain, rest } = splitDomain(text);
  const { path, tag, digest } = splitRemainder(text, rest);
  if (path === '' || path === OFFICIAL_PREFIX) throw invalid(text, 'the name is missing');
  if (path.toLowerCase() !== path && isPath(path.toLowerCase()))
    throw invalid(text, `the repository name (${path}) must be lowercase`, `write ${text.toLowerCase()}`);
  if (!DOMAIN.test(domain)) throw invalid(text, `${domain} is not a registry's host`);
  if (!isPath(path))
    throw invalid(
      text,
      `${path} is not a repository name`,
      'a name has lowercase letters, digits and separators: ghcr.io/org/app:1.0',
    );
  if (path.length > MAX_PATH_LENGTH) throw invalid(text, `the repository name is longer than ${MAX_PATH_LENGTH} characters`);
  return { domain, path, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}

function isPath(path: string): boolean {
  return path.split('/').every((component) => PATH_COMPONENT.test(component));
}

/** A first component is a host only if it looks like one: a dot, a colon, `localhost`, or a capital letter. */
function splitDomain(text: string): { domain: string; rest: string } {
  const slash = text.indexOf('/');
  const first = text.slice(0, slash);
  const isHost = slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || first.toLowerCase() !== first);
  const domain = isHost ? first : DEFAULT_DOMAIN;
  const rest = isHost ? text.slice(slash + 1) : text;
  if (domain !== DEFAULT_DOMAIN && domain !== 'index.docker.io') return { domain, rest };
  return { domain: DEFAULT_DOMAIN, rest: rest.includes('/') ? rest : `${OFFICIAL_PREFIX}${rest}` };
}

function splitRemainder(text: string, rest: string): { path: string; tag: string | undefined; digest: Digest | undefined } {
  const at = rest.indexOf('@');
  const digest = at < 0 ? undefined : rest.slice(at + 1);
  const named = at < 0 ? rest : rest.slice(0, at);
  const colon = named.indexOf(':');
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !TAG.test(tag)) throw invalid(text, `${JSON.stringify(tag)} is not a tag`);
  if (digest !== undefined && !SHA256.test(digest)) {
    if (!DIGEST.test(digest)) throw invalid(text, `${JSON.stringify(digest)} is not a digest`);
    throw invalid(text, `the digest ${digest.slice(0, 40)} is not a sha256 of 64 lowercase hexadecimal digits`);
  }
  return { path: colon < 0 ? named : named.slice(0, colon), tag, digest: digest as Digest | undefined };
}

function invalid(text: string, why: string, hint?: string): TbuildError {
  const shown = text.length > 100 ? `${text.slice(0, 100)}…` : text;
  return new TbuildError('image/bad-reference', `invalid image reference ${JSON.stringify(shown)}: ${why}`, { hint });
}

/** `latest` where neither a tag nor a digest is given. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: 'latest' } : reference;
}

/** In full: `docker.io/library/debian:12`. This form is what records and annotations hold. */
export function formatReference(reference: Reference): string {
  return `${reference.domain}/${reference.path}${suffix(reference)}`;
}

/** As people write it: `debian:12`. */
export function formatFamiliar(reference: Reference): string {
  return `${familiarRepository(reference)}${suffix(reference)}`;
}

/** `debian`, `quay.io/podman/stable`. */
export function familiarRepository(reference: Reference): string {
  if (reference.domain !== DEFAULT_DOMAIN) return `${reference.domain}/${reference.path}`;
  const short = reference.path.startsWith(OFFICIAL_PREFIX) ? reference.path.slice(OFFICIAL_PREFIX.length) : reference.path;
  // docker.io/library/a/b is not what `a/b` means.
  return short.includes('/') && short !== reference.path ? reference.path : short;
}

function suffix(reference: Reference): string {
  return (
    (reference.tag === undefined ? '' : `:${reference.tag}`) + (reference.digest === undefined ? '' : `@${reference.digest}`)
  );
}

/** The name under which the store keeps what a user called `text`: in full, with a tag or a digest. A tag beside a digest is dropped, as docker does. */
export function normalizeName(text: string): string {
  const { tag, ...rest } = withDefaultTag(parseReference(text));
  return formatReference(rest.digest !== undefined || tag === undefined ? rest : { ...rest, tag });
}

/** Whether a name from the store has a digest in place of a tag: what a registry knows an image by. */
export function isPinned(name: string): boolean {
  return name.includes('@');
}

/** The familiar form of a name from the store. */
export function familiarName(name: string): string {
  return formatFamiliar(parseReference(name));
}
