// `tbuild stop`: asks the processes of containers to end, and kills those that do not.

import { defineCommand } from '../command.ts';
import { eachAtOnce } from '../each.ts';
import { stopFlags, stopOptions } from '../values/stop.ts';

export const stop = defineCommand({
  name: 'stop',
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  description: 'Stop one or more running containers',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: stopFlags,
  run: async ({ flags, positionals, library, ...surroundings }) => {
    const options = stopOptions(flags);
    return eachAtOnce(positionals, surroundings, (name) => library.stopContainer(name, options));
  },
});
