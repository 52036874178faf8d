// `tbuild logout`: forgets who the user is to a registry.

import { defineCommand } from '../command.ts';
import { interruptible } from '../interruption.ts';

export const logout = defineCommand({
  name: 'logout',
  usage: '[SERVER]',
  description: 'Log out from a registry (Docker Hub where none is named)',
  positionals: [0, 1],
  flags: {},
  run: async ({ positionals: [server], library, stdout }) => {
    const { registry, had } = await interruptible((signal) =>
      library.logout({ signal, ...(server !== undefined && { server }) }),
    );
    stdout.write(had ? `Removing login credentials for ${registry}\n` : `Not logged in to ${registry}\n`);
    return 0;
  },
});
