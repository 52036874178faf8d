// A command that does the same to several containers: each that it is done to is named, the others' errors are said, and the last word is the exit code.

import { exitCodeOf } from '../base/error-object.ts';
import type { ErrorSurroundings } from './report-error.ts';
import { reportError } from './report-error.ts';
import type { Output } from './surroundings.ts';

/** Side by side: each may have to wait for its container. Said in the order they were asked for. */
export async function eachContainer(
  names: readonly string[],
  surroundings: ErrorSurroundings & { readonly stdout: Output },
  act: (name: string) => Promise<unknown>,
): Promise<number> {
  let exitCode = 0;
  const done = await Promise.allSettled(names.map(act));
  for (const [at, result] of done.entries()) {
    if (result.status === 'fulfilled')
      surroundings.stdout.write(`${typeof result.value === 'string' ? result.value : names[at]}\n`);
    else {
      reportError(result.reason, surroundings);
      exitCode ||= exitCodeOf(result.reason);
    }
  }
  return exitCode;
}
