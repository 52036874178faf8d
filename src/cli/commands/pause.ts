// `tbuild pause` and `tbuild unpause`: all processes of a container stand still, and go on.

import { defineCommand } from '../command.ts';
import { eachAtOnce } from '../each.ts';

export const pause = defineCommand({
  name: 'pause',
  usage: 'CONTAINER [CONTAINER...]',
  description: 'Pause all processes within one or more containers',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: {},
  run: async ({ positionals, library, ...surroundings }) =>
    eachAtOnce(positionals, surroundings, (name) => library.pauseContainer(name)),
});

export const unpause = defineCommand({
  name: 'unpause',
  usage: 'CONTAINER [CONTAINER...]',
  description: 'Unpause all processes within one or more containers',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: {},
  run: async ({ positionals, library, ...surroundings }) =>
    eachAtOnce(positionals, surroundings, (name) => library.unpauseContainer(name)),
});
