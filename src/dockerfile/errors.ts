// How this floor reports what is wrong with a Dockerfile: a TbuildError of the family dockerfile, with its place.
// Code that works on a single word or line knows no place; whoever called it adds one (`locate`).

import { type ErrorCode, type Location, TbuildError } from '../base/errors.ts';

export function dockerfileError(what: string, message: string, where?: Location, hint?: string): TbuildError {
  return new TbuildError(`dockerfile/${what}`, message, { where, hint });
}

/** Runs `action`; an error without a place that comes out of it is said to stand at `where`. */
export function locate<T>(where: Location, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw withPlace(error, where);
  }
}

export function withPlace(error: unknown, where: Location): unknown {
  if (!(error instanceof TbuildError) || error.where !== undefined) return error;
  const code: ErrorCode = error.code;
  return new TbuildError(code, error.message, { where, hint: error.hint, cause: error.cause, details: error.details });
}
