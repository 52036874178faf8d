// How this floor reports what is wrong with a Dockerfile: a TbuildError of the family dockerfile, with its place.
// Code that works on a single word or line knows no place, at most which part of its text is wrong; whoever called it adds the place (`locate`).

import { type Location, TbuildError } from '../base/errors.ts';

/** A part of some text, in UTF-16 units; the end is exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Where a text stands in the file, or a part of it; found out when it is asked. */
export type Place = (part?: Span) => Location;

/** The parts of texts that errors without a place are about. */
const parts = new WeakMap<TbuildError, Span>();

export function dockerfileError(what: string, message: string, where?: Location | Place, hint?: string): TbuildError {
  return new TbuildError(`dockerfile/${what}`, message, { where: typeof where === 'function' ? where() : where, hint });
}

/** Runs `action`; an error without a place that comes out of it is said to stand at `where`. */
export function locate<T>(where: Location | Place, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw withPlace(error, where);
  }
}

export function withPlace(error: unknown, where: Location | Place): unknown {
  if (!(error instanceof TbuildError) || error.where !== undefined) return error;
  return error.at(typeof where === 'function' ? where(parts.get(error)) : where);
}

/** Says which part of the text at hand the error is about, unless that is known more closely. */
export function setPart(error: TbuildError, part: Span): TbuildError {
  const inner = parts.get(error);
  const { start } = part;
  parts.set(error, inner === undefined ? part : { start: start + inner.start, end: start + inner.end });
  return error;
}

export const hasPart = (error: TbuildError): boolean => parts.has(error);

/** Runs `action` on a part of the text at hand: what goes wrong in it is wrong with that part, or with a part of it. */
export function within<T>(part: Span, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw error instanceof TbuildError ? setPart(error, part) : error;
  }
}
