// `tbuild export`: what a container's root shows, as a tar.

import { TbuildError } from '../../base/errors.ts';
import { defineCommand } from '../command.ts';

/** `export` is a word of the language. */
export const exportCommand = defineCommand({
  name: 'export',
  usage: '[OPTIONS] CONTAINER',
  description: "Export a container's filesystem as a tar archive",
  positionals: [1, 1],
  flags: { output: { short: 'o', value: 'string', help: 'Write to a file, instead of STDOUT' } },
  run: async ({ flags, positionals: [name], library, stdout }) => {
    if (flags.output === undefined && stdout.isTTY)
      throw new TbuildError('usage/terminal', 'cowardly refusing to save to a terminal. Use the -o flag or redirect');
    await library.exportContainer(name!, flags.output ?? 1);
    return 0;
  },
});
