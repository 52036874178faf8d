// `tbuild rename`: another name for a container.

import { defineCommand } from '../command.ts';

export const rename = defineCommand({
  name: 'rename',
  usage: 'CONTAINER NEW_NAME',
  description: 'Rename a container',
  positionals: [2, 2],
  flags: {},
  run: async ({ positionals: [container, name], library }) => {
    await library.renameContainer(container as string, name as string);
    return 0;
  },
});
