// A container in the foreground. Signals to tbuild are for it: its processes are in a session of their own, so that a ^C reaches them once, through here.

import type { ChildProcess } from 'node:child_process';
import { startInRoot } from '../native/with-root.ts';

/** The container's exit status, as a shell's `$?`. Throws `run/…` where it cannot be started. */
export async function runInForeground(...container: Parameters<typeof startInRoot>): Promise<number> {
  const { child, result } = startInRoot(...container);
  const stopForwarding = forwardSignals(child);
  try {
    return (await result).status;
  } finally {
    stopForwarding();
  }
}

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const;

/** As docker run: a container that will not go is killed at the third request. */
const PATIENCE = 3;

/** Until the returned function is called. */
function forwardSignals(child: ChildProcess): () => void {
  let requests = 0;
  const forward = (signal: NodeJS.Signals): void => {
    if (signal === 'SIGINT' || signal === 'SIGTERM') requests++;
    child.kill(requests >= PATIENCE ? 'SIGKILL' : signal);
  };
  for (const signal of FORWARDED) process.on(signal, forward);
  return () => {
    for (const signal of FORWARDED) process.off(signal, forward);
  };
}
