// `tbuild version`.

import { defineCommand } from '../command.ts';
import { version as current } from '../version.ts';

export const version = defineCommand({
  name: 'version',
  usage: '',
  description: 'Show the version',
  positionals: [0, 0],
  flags: {},
  run: async ({ stdout }) => {
    stdout.write(`tbuild ${current}\n`);
    return 0;
  },
});
