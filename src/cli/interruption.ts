// ^C and its relatives: the first asks the work to stop, a second one ends the process at once.

import { TbuildError } from '../base/errors.ts';

/**
 * Runs `work` with a signal that SIGINT, SIGTERM and SIGHUP abort; `onAbort` says so to the person who waits, where there is something to say.
 * Whatever an aborted `work` throws becomes `cancelled/interrupted`.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>, onAbort?: () => void): Promise<T> {
  const controller = new AbortController();
  const interrupt = (_name: NodeJS.Signals, number: number) => {
    // What runs in containers dies with us: their lifelines close.
    if (controller.signal.aborted) process.exit(128 + number);
    controller.abort();
    onAbort?.();
  };
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) process.on(name, interrupt);
  try {
    return await work(controller.signal);
  } catch (cause) {
    // ^C reaches our children too: that they are gone is then no error of its own.
    throw controller.signal.aborted ? new TbuildError('cancelled/interrupted', 'canceled', { cause }) : cause;
  } finally {
    for (const name of names) process.off(name, interrupt);
  }
}
