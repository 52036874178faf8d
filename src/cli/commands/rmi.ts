// `tbuild rmi`: takes names away, and images with their last name.

import { familiarName } from '../../oci/reference.ts';
import { defineCommand } from '../command.ts';
import { eachInTurn } from '../each.ts';

export const rmi = defineCommand({
  name: 'rmi',
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  description: 'Remove one or more images',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: { force: { short: 'f', help: 'Force removal of the image' } },
  run: async ({ flags, positionals, library, stdout, ...surroundings }) =>
    eachInTurn(positionals, surroundings, async (name) => {
      for (const removal of await library.removeImage(name, { force: flags.force })) {
        stdout.write('untagged' in removal ? `Untagged: ${familiarName(removal.untagged)}\n` : `Deleted: ${removal.deleted}\n`);
      }
    }),
});
