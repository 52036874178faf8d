// Errors as people read them (message, excerpt, causes, hint) and as programs do (exit code, ErrorObject).
// The only place that prints one. Prints no stack without --debug, and no credentials of a URL ever.

import { exitCodes, type Location, TbuildError } from '../base/errors.ts';
import type { ErrorObject } from '../build/events.ts';
import { excerptLines } from './excerpt.ts';
import { choosePaint } from './paint.ts';
import type { Environment, Output } from './surroundings.ts';
import { oneLine } from './text.ts';

export interface ErrorSurroundings {
  readonly stderr: Output;
  readonly env: Environment;
  readonly isDebug: boolean;
}

export function reportError(thrown: unknown, { stderr, env, isDebug }: ErrorSurroundings): void {
  const paint = choosePaint(stderr, env);
  const error = toErrorObject(thrown);
  const lines: string[] = [];
  if (error.code.startsWith('cancelled/')) {
    lines.push(paint('yellow', error.message));
  } else {
    lines.push(`${paint('red', 'error:')} ${paint('bold', error.message)}`);
    const where = locationOf(thrown);
    if (where !== undefined) lines.push(...excerptLines(where, stderr.isTTY ? stderr.columns : undefined));
    error.causes?.forEach((cause, depth) => {
      lines.push(`${'  '.repeat(depth + 1)}${paint('dim', 'because:')} ${cause}`);
    });
    if (error.hint !== undefined) lines.push(`${paint('cyan', 'hint:')} ${error.hint}`);
  }
  if (isDebug) lines.push(...stacks(thrown).map((line) => paint('dim', line)));
  stderr.write(`${lines.join('\n')}\n`);
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
    return { code: error.code, message: printable(error.message), ...(hint !== undefined && { hint: printable(hint) }) };
  }
  if (isAbort(error)) return { code: 'cancelled/aborted', message: 'canceled' };
  const message = `this is a bug in tbuild: ${printable(messageOf(error))}`;
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
      causes.push(`cleaning up failed as well: ${printable(messageOf(error.error))}`);
      return;
    }
    const below = error instanceof AggregateError ? error.errors : error.cause === undefined ? [] : [error.cause];
    for (const cause of below) {
      if (causes.length >= depthMax) return;
      const message = printable(messageOf(cause));
      // Wrapping often repeats the message below: once is enough.
      if (message !== '' && !error.message.endsWith(message)) causes.push(message);
      visit(cause, depth + 1);
    }
  };
  visit(thrown, 0);
  return causes;
}

function locationOf(thrown: unknown): Location | undefined {
  const error = primary(thrown);
  return error instanceof TbuildError ? error.where : undefined;
}

function stacks(thrown: unknown): string[] {
  const lines: string[] = [];
  let error = thrown;
  for (let depth = 0; error instanceof Error && depth < depthMax; depth++) {
    lines.push(...(error.stack ?? String(error)).split('\n').map(printable));
    error = error instanceof SuppressedError ? error.suppressed : error.cause;
  }
  return lines;
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}

/** One harmless line a sentence, and no user info of a URL. */
function printable(text: string): string {
  return text
    .split('\n')
    .map((line) => oneLine(line).replace(/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/]*@/gi, '$1'))
    .join('\n');
}
