// The hint of an image that its registry does not have: perhaps one that is here was meant.

import { TbuildError } from '../base/errors.ts';
import type { Images } from '../images/store.ts';

export function withNearest(images: Images, name: string, error: unknown): unknown {
  const near = error instanceof TbuildError && /^(?:registry|auth)\//.test(error.code) ? images.nearest(name) : undefined;
  if (!(error instanceof TbuildError) || near === undefined) return error;
  const { code, message, cause, details } = error;
  return new TbuildError(code, message, { hint: `it is not here, either; did you mean ${near}?`, cause, details });
}
