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
  return new TbuildError(error.code as ErrorCode, error.detail, { details: { ...error } });
}
