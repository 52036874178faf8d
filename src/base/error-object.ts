// An error as data: what events carry, what `--progress=rawjson` prints, and what the terminal shows of it. No credentials of a URL ever,
// and an end to causes that form a ring.

import { type ErrorCode, exitCodes, type Location, TbuildError } from './errors.ts';

export interface ErrorObject {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
  readonly where?: Omit<Location, 'text'>;
  readonly causes?: readonly string[];
}

export function exitCodeOf(thrown: unknown): number {
  const error = primary(thrown);
  if (error instanceof TbuildError) return error.exitCode;
  return isAbort(error) ? exitCodes.cancelled : exitCodes.internal;
}

export function toErrorObject(thrown: unknown): ErrorObject {
  const error = primary(thrown);
  const causes = causesOf(thrown);
  const where = locationOf(error);
  return {
    ...headOf(error),
    ...(where && { where: { file: where.file, range: where.range } }),
    ...(causes.length > 0 && { causes }),
  };
}

function headOf(error: unknown): Pick<ErrorObject, 'code' | 'message' | 'hint'> {
  if (error instanceof TbuildError) {
    const isBug = error.code.startsWith('internal/');
    const hint = error.hint ?? (isBug ? reportRequest : undefined);
    return { code: error.code, message: redact(error.message), ...(hint !== undefined && { hint: redact(hint) }) };
  }
  if (isAbort(error)) return { code: 'cancelled/aborted', message: 'canceled' };
  const message = `this is a bug in tbuild: ${redact(messageOf(error))}`;
  return { code: 'internal/unexpected', message, hint: reportRequest };
}

const reportRequest = 'please report it, with what the same command prints with --debug';

/**
 * What went wrong first. `await using` wraps an error that disposal followed by another: `error` is then the one of the
 * clean-up, and `suppressed` the one that matters.
 */
function primary(thrown: unknown): unknown {
  let error = thrown;
  for (let depth = 0; error instanceof SuppressedError && depth < depthMax; depth++) error = error.suppressed;
  return error;
}

const depthMax = 16;

/** Messages of the causes, the nearest first, and of what failed while cleaning up. Bounded, for causes may form a ring. */
function causesOf(thrown: unknown): string[] {
  const causes: string[] = [];
  const visit = (error: unknown, depth: number): void => {
    if (depth > depthMax || !(error instanceof Error)) return;
    if (error instanceof SuppressedError) {
      visit(error.suppressed, depth + 1);
      causes.push(`cleaning up failed as well: ${redact(messageOf(error.error))}`);
      return;
    }
    const below = error instanceof AggregateError ? error.errors : error.cause === undefined ? [] : [error.cause];
    for (const cause of below) {
      if (causes.length >= depthMax) return;
      const message = redact(messageOf(cause));
      // Wrapping often repeats the message below: once is enough.
      if (message !== '' && !error.message.endsWith(message)) causes.push(message);
      visit(cause, depth + 1);
    }
  };
  visit(thrown, 0);
  return causes;
}

export function locationOf(thrown: unknown): Location | undefined {
  const error = primary(thrown);
  return error instanceof TbuildError ? error.where : undefined;
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}

/** No user info of a URL: a token may be in it. */
function redact(text: string): string {
  return text.replace(/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/]*@/gi, '$1');
}
