// `tbuild create`: a container that waits to be started. Fails as docker create does: with 125 where docker's daemon would refuse it, as run.

import { defineCommand } from '../command.ts';
import { containerExitCode } from '../container-exit-code.ts';
import { containerFlags } from '../container-flags.ts';
import { readCreateOptions } from '../create-options.ts';
import { showPull } from './run.ts';

export const create = defineCommand({
  name: 'create',
  usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]',
  description: 'Create a new container',
  positionals: [1, Number.POSITIVE_INFINITY],
  stopAtPositional: true,
  flags: containerFlags,
  run: async ({ flags, positionals: [image, ...command], library, env, stdout, stderr }) => {
    const options = readCreateOptions(flags, image as string, command, { env, tell: (line) => stderr.write(`${line}\n`) });
    const { id } = await library.createContainer({
      ...options,
      ...(!flags.quiet && { showPull: () => showPull(options, stderr) }),
    });
    stdout.write(`${id}\n`);
    return 0;
  },
  exitCodeOf: containerExitCode,
});
