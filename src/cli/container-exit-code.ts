// The exit code of a command that runs another one in a container, where it could not: docker run's.

import { TbuildError } from '../base/errors.ts';

/** Two codes are about the command in the container; anything else is a failure to run it. */
export function containerExitCode(error: unknown): number {
  if (!(error instanceof TbuildError)) return 125;
  if (error.code === 'run/command-not-executable') return 126;
  return error.code === 'run/command-not-found' ? 127 : 125;
}
