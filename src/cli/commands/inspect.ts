// `tbuild inspect`: what is known of images, as the JSON array docker prints.

import { defineCommand } from '../command.ts';
import { parsePlatformFlag, platformFlag } from '../platform-flag.ts';

export const inspect = defineCommand({
  name: 'inspect',
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  description: 'Return low-level information on images',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: {
    format: { short: 'f', value: 'string', choices: ['json'], default: 'json', help: 'Format of the output' },
    platform: platformFlag,
  },
  run: async ({ flags, positionals, library, stdout }) => {
    const platform = parsePlatformFlag(flags.platform);
    const documents = [];
    for (const name of positionals) documents.push(await library.inspectImage(name, platform));
    stdout.write(`${JSON.stringify(documents, null, 4)}\n`);
    return 0;
  },
});
