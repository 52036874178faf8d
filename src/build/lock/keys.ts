// Under what a source is locked, and whether it needs to be: what the Dockerfile itself fixes by a digest or a commit is in no lock. Pure.

import { type GitSource, isCommit } from '../../context/git/url.ts';
import { redactUrl } from '../../http/url.ts';
import { familiarName, isPinned } from '../../oci/reference.ts';
import type { GitOperation, ImageOperation, RemoteOperation } from '../../plan/graph.ts';
import { isLayoutReference } from '../contexts/layout-images.ts';
import type { ContextOptions } from '../contexts/options.ts';
import type { LockedCommit } from './document.ts';

export type SourceOperation = ImageOperation | RemoteOperation;

/** It is the same whenever it is asked for; a layout is a directory of this machine. */
export function isFixed(op: SourceOperation): boolean {
  switch (op.kind) {
    case 'image':
      return isPinned(op.reference) || isLayoutReference(op.reference);
    case 'http':
      return op.checksum !== undefined;
    case 'git':
      return isCommit(op.source.ref) || isCommit(op.source.checksum);
  }
}

/** What tells what may be in a lock from what may not. */
export interface KeyScope {
  /** The Dockerfile's. */
  readonly text: string;
  /** Values of --build-arg, and parameters in --build-context. */
  readonly given: readonly string[];
}

export function keyScope(
  text: string,
  { buildArgs, buildContexts = {} }: Pick<ContextOptions, 'buildArgs' | 'buildContexts'>,
): KeyScope {
  const parameters = Object.values(buildContexts).flatMap((source) => parametersOf(source));
  // One that the Dockerfile does not speak of is in nothing that it names.
  const args = Object.entries(buildArgs).flatMap(([name, value]) => (text.includes(name) ? [value] : []));
  return { text, given: [...args, ...parameters].filter((value) => value !== '') };
}

export function keyOf(op: SourceOperation, scope: KeyScope): string {
  switch (op.kind) {
    case 'image':
      return op.reference;
    case 'http':
      return urlKey(op.url, scope);
    case 'git':
      return gitKey(op.source);
  }
}

/**
 * Without user and password, and without the parameters that have something in them which is given with the command: that may be a token, and a lock is
 * for everybody to read. What stands in the Dockerfile as it is stays.
 */
function urlKey(url: string, { text, given }: KeyScope): string {
  const parameters = parametersOf(url);
  const isWritten = text.includes(`?${parameters.join('&')}`);
  const kept = isWritten ? parameters : parameters.filter((one) => !given.some((value) => one.includes(value)));
  return redactUrl(url) + (kept.length === 0 ? '' : `?${kept.join('&')}`);
}

const parametersOf = (url: string): string[] => /\?([^#]+)/.exec(url)?.[1]?.split('&') ?? [];

/** A commit is of the whole repository, whichever part of it is taken. */
function gitKey({ remote, ref }: GitSource): string {
  return redactUrl(remote) + (ref === '' ? '' : `#${ref}`);
}

/** Whether a commit can be what the Dockerfile asks for, which may say how it begins. */
export const isOf = ({ commit }: LockedCommit, { source }: GitOperation): boolean => commit.startsWith(source.checksum);

/** As people write it. */
export function shownKey(kind: SourceOperation['kind'], key: string): string {
  return kind === 'image' ? familiarName(key) : key;
}
