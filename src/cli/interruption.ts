// ^C and its relatives: the first asks the work to stop, a second one ends the process at once.

/** Runs `work` with a signal that SIGINT, SIGTERM and SIGHUP abort. `onAbort` says so to the person who waits. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>, onAbort: () => void): Promise<T> {
  const controller = new AbortController();
  const interrupt = (_name: NodeJS.Signals, number: number) => {
    // What runs in containers dies with us: their lifelines close.
    if (controller.signal.aborted) process.exit(128 + number);
    controller.abort();
    onAbort();
  };
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) process.on(name, interrupt);
  try {
    return await work(controller.signal);
  } finally {
    for (const name of names) process.off(name, interrupt);
  }
}
