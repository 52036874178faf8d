// `tbuild rmi`: takes names away, and images with their last name.

import { exitCodeOf } from '../../base/error-object.ts';
import { familiarName } from '../../oci/reference.ts';
import { defineCommand } from '../command.ts';
import { reportError } from '../report-error.ts';

export const rmi = defineCommand({
  name: 'rmi',
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  description: 'Remove one or more images',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: { force: { short: 'f', help: 'Force removal of the image' } },
  run: async ({ flags, positionals, library, stdout, stderr, env, isDebug }) => {
    let exitCode = 0;
    for (const name of positionals) {
      try {
        for (const removal of await library.removeImage(name, { force: flags.force })) {
          stdout.write('untagged' in removal ? `Untagged: ${familiarName(removal.untagged)}\n` : `Deleted: ${removal.deleted}\n`);
        }
      } catch (error) {
        // The others are still removed, as by docker.
        reportError(error, { stderr, env, isDebug });
        exitCode ||= exitCodeOf(error);
      }
    }
    return exitCode;
  },
});
