// `tbuild wait`: until containers have ended; prints their exit codes.

import { defineCommand } from '../command.ts';
import { eachAtOnce } from '../each.ts';

export const wait = defineCommand({
  name: 'wait',
  usage: 'CONTAINER [CONTAINER...]',
  description: 'Block until one or more containers stop, then print their exit codes',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: {},
  run: async ({ positionals, library, ...surroundings }) =>
    eachAtOnce(positionals, surroundings, async (name) => String(await library.waitForContainer(name))),
});
