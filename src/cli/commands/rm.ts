// `tbuild rm`: containers that do not run go, with what they wrote; with -f others too.

import { exitCodeOf } from '../../base/error-object.ts';
import { TbuildError } from '../../base/errors.ts';
import { defineCommand } from '../command.ts';
import { reportError } from '../report-error.ts';

export const rm = defineCommand({
  name: 'rm',
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  description: 'Remove one or more containers',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: {
    force: { short: 'f', help: 'Force the removal of a running container (uses SIGKILL)' },
    volumes: { short: 'v', help: 'Remove anonymous volumes associated with the container' },
  },
  run: async ({ flags, positionals, library, stdout, stderr, env, isDebug }) => {
    const { force, volumes } = flags;
    let exitCode = 0;
    for (const { name, error } of await library.removeContainers(positionals, { force, volumes })) {
      if (error === undefined) {
        stdout.write(`${name}\n`);
        continue;
      }
      reportError(error, { stderr, env, isDebug });
      // docker/cli, rm.go: who forces does not mind that there is none.
      const isGone = error instanceof TbuildError && error.code === 'container/unknown';
      if (!force || !isGone) exitCode ||= exitCodeOf(error);
    }
    return exitCode;
  },
});
