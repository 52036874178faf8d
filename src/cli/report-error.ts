// Errors as people read them: message, excerpt, causes, hint. The only place that prints one. Prints no stack without --debug.

import { locationOf, toErrorObject } from '../base/error-object.ts';
import { excerptLines } from './excerpt.ts';
import { choosePaint } from './paint.ts';
import type { Environment, Output } from './surroundings.ts';
import { cutToWidth, oneLine } from './text.ts';

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
    lines.push(paint('cancel', printable(error.message)));
  } else {
    lines.push(`${paint('error', 'error:')} ${paint('bold', printable(error.message))}`);
    const where = locationOf(thrown);
    if (where !== undefined) lines.push(...excerptLines(where, stderr.isTTY ? stderr.columns : undefined));
    error.causes?.forEach((cause, depth) => {
      lines.push(`${'  '.repeat(depth + 1)}${paint('dim', 'because:')} ${printable(cause)}`);
    });
    if (error.hint !== undefined) lines.push(`${paint('hint', 'hint:')} ${printable(error.hint)}`);
  }
  if (isDebug) lines.push(...stacks(thrown).map((line) => paint('dim', line)));
  stderr.write(`${lines.join('\n')}\n`);
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

const depthMax = 16;

/** Foreign text may be in it: harmless line by line, and not without end. */
function printable(text: string): string {
  return text
    .split('\n', linesMax)
    .map((line) => cutToWidth(oneLine(line), lineWidthMax))
    .join('\n');
}

const linesMax = 200;
const lineWidthMax = 1000;
