// Under what a source is locked, and whether it needs to be: what the Dockerfile itself fixes by a digest or a commit is in no lock. Pure.

import { type GitSource, isCommit } from '../../context/git/url.ts';
import { redactUrl } from '../../http/url.ts';
import { familiarName, isPinned } from '../../oci/reference.ts';
import type { ImageOperation, RemoteOperation } from '../../plan/graph.ts';
import { isLayoutReference } from '../contexts/layout-images.ts';

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

/** `text`: the Dockerfile's. */
export function keyOf(op: SourceOperation, text: string): string {
  switch (op.kind) {
    case 'image':
      return op.reference;
    case 'http':
      return urlKey(op.url, text);
    case 'git':
      return gitKey(op.source);
  }
}

/**
 * Without user and password, and with its parameters only where the Dockerfile has them as they are: what comes by a build argument may be a token, and
 * a lock is for everybody to read.
 */
function urlKey(url: string, text: string): string {
  const query = /\?[^#]*/.exec(url)?.[0] ?? '';
  return redactUrl(url) + (query !== '' && text.includes(query) ? query : '');
}

/** A commit is of the whole repository, whichever part of it is taken. */
function gitKey({ remote, ref }: GitSource): string {
  return redactUrl(remote) + (ref === '' ? '' : `#${ref}`);
}

/** As people write it. */
export function shownKey(kind: SourceOperation['kind'], key: string): string {
  return kind === 'image' ? familiarName(key) : key;
}
