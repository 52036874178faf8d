// Errors of the native binary, as the errors everybody else throws.

import { type ErrorCode, TbuildError } from '../base/errors.ts';

/** What the binary writes: docs/native.md. */
export interface NativeErrorObject {
  readonly code: string;
  readonly op: string;
  readonly path: string | null;
  readonly errno: string | null;
  readonly detail: string;
}

export function fromNative(error: NativeErrorObject): TbuildError {
  // ENOSPC is also what the kernel says of a limit on namespaces.
  const isFull = error.errno === 'ENOSPC' || error.errno === 'EDQUOT';
  if (isFull && !error.code.startsWith('unsupported/')) {
    return new TbuildError('store/full', `no space left on the disk while writing ${error.path ?? 'the store'} (${error.op})`, {
      hint: 'free some space, or set TBUILD_ROOT to another disk, then run the same command again: finished steps are kept',
      details: { ...error },
    });
  }
  return new TbuildError(error.code as ErrorCode, messageOf(error), { hint: hints[error.code], details: { ...error } });
}

const hints: Readonly<Record<string, string>> = {
  'context/unreadable': 'make it readable, or exclude it in .dockerignore',
  'unsupported/ids':
    'give the account ids: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 NAME, and install uidmap',
  'unsupported/idmap': "with --userns=host the container has the host's own ids",
  'context/changed': 'run the build again when nothing writes to the context',
};

/** With the path, where that is what a user knows it by: an archive's is not, for who gave the archive calls it something else. */
function messageOf({ code, path, detail }: NativeErrorObject): string {
  if (path === null || path === '' || detail.includes(path)) return detail;
  if (code === 'context/changed') return `${path} changed while it was read: ${detail}`;
  if (code === 'context/unreadable') return `cannot read ${path}: ${detail}`;
  return code === 'native/io' || (code === 'native/bad-entry' && !path.startsWith('/')) ? `${path}: ${detail}` : detail;
}
