// An error as data: what events carry, and what `--progress=rawjson` prints.

import { TbuildError } from '../base/errors.ts';
import type { ErrorObject } from './events.ts';

export function errorObject(error: unknown): ErrorObject {
  if (!(error instanceof TbuildError))
    return { code: 'internal/unexpected', message: error instanceof Error ? error.message : String(error) };
  const { code, message, hint, where } = error;
  const causes = [...causesOf(error)];
  return {
    code,
    message,
    ...(hint !== undefined && { hint }),
    ...(where !== undefined && { where: { file: where.file, range: where.range } }),
    ...(causes.length > 0 && { causes }),
  };
}

function* causesOf(error: Error): Generator<string> {
  for (let { cause } = error; cause instanceof Error; { cause } = cause) yield cause.message;
}
