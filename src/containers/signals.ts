// Signals to `tbuild run` are for its container. The container's processes are in a session of their own, so that a ^C reaches them once, through here.

import type { ChildProcess } from 'node:child_process';

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const;

/** As docker run: a container that will not go is killed at the third request. */
const PATIENCE = 3;

/** Until the returned function is called. */
export function forwardSignals(child: ChildProcess): () => void {
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
