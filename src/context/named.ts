// `--build-context name=value`: what the value names, and the form in which names are compared (buildx: build/opt.go and util/buildflags;
// BuildKit: dockerui/namedcontext.go). Looks whether a directory is there, and opens nothing.

import { statSync } from 'node:fs';
import type { Digest } from '../base/digest.ts';
import { editDistance } from '../base/edit-distance.ts';
import { TbuildError } from '../base/errors.ts';
import { formatPlatform, parsePlatform } from '../oci/platform.ts';
import { familiarName, normalizeName } from '../oci/reference.ts';
import { parseGitContext } from './git/url.ts';

export type NamedSource =
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'image'; readonly reference: string }
  /** An image in an OCI layout's folder: by what its index calls it, or by digest. */
  | { readonly kind: 'layout'; readonly folder: string; readonly tag: string; readonly digest: Digest | undefined }
  | { readonly kind: 'git' | 'http'; readonly url: string };

/** `Alpine:latest` is none; `docker.io/library/alpine:latest` is `alpine`; `base::linux/arm64` counts for that platform alone. */
export function contextName(written: string): string {
  const [name, platform, ...rest] = written.split('::');
  if (rest.length > 0) throw badName(written, 'it has more than one ::');
  try {
    const familiar = familiarName(name as string).replace(/:latest$/, '');
    return platform === undefined ? familiar : `${familiar}::${formatPlatform(parsePlatform(platform))}`;
  } catch (error) {
    if (error instanceof TbuildError) throw badName(written, error.message);
    throw error;
  }
}

export function readNamedContext(name: string, value: string): NamedSource {
  if (value.startsWith('docker-image://')) {
    const reference = value.slice('docker-image://'.length);
    return { kind: 'image', reference: reference === 'scratch' ? 'scratch' : normalizeName(reference) };
  }
  if (value.startsWith('oci-layout://')) return readLayout(name, value.slice('oci-layout://'.length));
  if (value.startsWith('target:')) {
    throw badValue(name, `${value} is a target of a bake file`, 'a stage of the same Dockerfile needs no --build-context');
  }
  if (parseGitContext(value) !== undefined) return { kind: 'git', url: value };
  if (/^https?:\/\//.test(value)) return { kind: 'http', url: value };
  return readDirectory(name, value);
}

/** `path[:tag|@digest]` */
function readLayout(name: string, rest: string): NamedSource {
  const [place = '', digest] = rest.split('@', 2);
  if (digest !== undefined && !/^sha256:[0-9a-f]{64}$/.test(digest)) throw badValue(name, `${digest} is not a digest`);
  const [folder = '', tag = 'latest'] = place.split(':', 2);
  if (folder === '') throw badValue(name, 'the folder of the layout is missing', 'as in oci-layout://path:tag');
  return { kind: 'layout', folder, tag, digest: digest as Digest | undefined };
}

const schemes = ['docker-image', 'oci-layout', 'https', 'http', 'git', 'ssh'];

function readDirectory(name: string, path: string): NamedSource {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory()) return { kind: 'directory', path };
  const scheme = /^([a-z-]+):/i.exec(path)?.[1];
  const meant = scheme && schemes.find((known) => editDistance(scheme.toLowerCase(), known) <= 2);
  if (meant) throw badValue(name, `${path} is no directory`, `did you mean ${meant}://${path.replace(/^[^:]*:\/*/, '')}?`);
  throw new TbuildError(
    stat ? 'context/not-a-directory' : 'context/not-found',
    stat ? `the build context ${name}: ${path} is not a directory` : `the build context ${name}: there is no directory ${path}`,
    { hint: 'an image is docker-image://NAME, a layout oci-layout://PATH:TAG; git and http sources have their URLs' },
  );
}

const badName = (written: string, why: string): TbuildError =>
  new TbuildError('usage/bad-value', `--build-context: "${written}" is no name of a context: ${why}`);

const badValue = (name: string, why: string, hint?: string): TbuildError =>
  new TbuildError('usage/bad-value', `--build-context ${name}: ${why}`, { hint });
