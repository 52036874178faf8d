// `tbuild restart`: stops containers and starts them again; one that does not run is started.

import { defineCommand } from '../command.ts';
import { eachAtOnce } from '../each.ts';
import { stopFlags, stopOptions } from '../values/stop.ts';

export const restart = defineCommand({
  name: 'restart',
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  description: 'Restart one or more containers',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: stopFlags,
  run: async ({ flags, positionals, library, ...surroundings }) => {
    const options = stopOptions(flags);
    return eachAtOnce(positionals, surroundings, (name) => library.restartContainer(name, options));
  },
});
