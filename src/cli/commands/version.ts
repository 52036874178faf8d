// `tbuild version`.

import { version as current } from '../../base/version.ts';
import { defineCommand } from '../command.ts';

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
