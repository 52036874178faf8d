// A command that does the same to several things: whatever fails, the others are done to as well, as by docker; errors are said, and the first of them is the exit code.

import { exitCodeOf } from '../base/error-object.ts';
import type { ErrorSurroundings } from './report-error.ts';
import { reportError } from './report-error.ts';
import type { Output } from './surroundings.ts';

/** Side by side: each may have to wait for its container. What is printed, its name or what `act` gives, is in the order they were asked for. */
export async function eachAtOnce(
  names: readonly string[],
  surroundings: ErrorSurroundings & { readonly stdout: Output },
  act: (name: string) => Promise<unknown>,
): Promise<number> {
  const done = await Promise.allSettled(names.map(act));
  return eachInTurn([...done.entries()], surroundings, async ([at, result]) => {
    if (result.status === 'rejected') throw result.reason;
    surroundings.stdout.write(`${typeof result.value === 'string' ? result.value : names[at]}\n`);
  });
}

/** `act` prints what there is to be said. */
export async function eachInTurn<T>(
  things: readonly T[],
  surroundings: ErrorSurroundings,
  act: (thing: T) => Promise<void>,
): Promise<number> {
  let exitCode = 0;
  for (const thing of things) {
    try {
      await act(thing);
    } catch (error) {
      reportError(error, surroundings);
      exitCode ||= exitCodeOf(error);
    }
  }
  return exitCode;
}
