// `tbuild kill`: sends a signal to the first process of containers.

import { defineCommand } from '../command.ts';
import { eachAtOnce } from '../each.ts';
import { parseStopSignal } from '../values/lifecycle.ts';

export const kill = defineCommand({
  name: 'kill',
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  description: 'Kill one or more running containers',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: { signal: { short: 's', value: 'string', default: 'SIGKILL', help: 'Signal to send to the container' } },
  run: async ({ flags, positionals, library, ...surroundings }) => {
    const signal = parseStopSignal(flags.signal);
    return eachAtOnce(positionals, surroundings, (name) => library.killContainer(name, signal));
  },
});
