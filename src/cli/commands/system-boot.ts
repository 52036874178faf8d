// `tbuild system boot`: containers that are to run whenever the machine does are started. For a unit file that runs once, when networks are there (docs/containers.md).

import { defineCommand } from '../command.ts';
import { eachInTurn } from '../each.ts';

export const systemBoot = defineCommand({
  name: 'system boot',
  usage: '',
  description:
    'Start the containers that are to run whenever the machine does: those with --restart=always, and of --restart=unless-stopped those that nobody stopped',
  positionals: [0, 0],
  flags: {},
  run: async ({ library, stdout, ...surroundings }) =>
    eachInTurn(await library.containersToBoot(), surroundings, async ({ id, name }) => {
      await library.startContainer(id);
      stdout.write(`${name}\n`);
    }),
});
