// `tbuild system boot`: containers that are to run whenever the machine does are started. For a unit file that runs once, when networks are there (docs/containers.md).

import { exitCodeOf } from '../../base/error-object.ts';
import { defineCommand } from '../command.ts';
import { reportError } from '../report-error.ts';

export const systemBoot = defineCommand({
  name: 'system boot',
  usage: '',
  description:
    'Start the containers that are to run whenever the machine does: those with --restart=always, and of --restart=unless-stopped those that nobody stopped',
  positionals: [0, 0],
  flags: {},
  run: async ({ library, stdout, ...surroundings }) => {
    let exitCode = 0;
    for (const { id, name } of await library.containersToBoot()) {
      try {
        await library.startContainer(id);
        stdout.write(`${name}\n`);
      } catch (error) {
        reportError(error, surroundings);
        exitCode ||= exitCodeOf(error);
      }
    }
    return exitCode;
  },
});
