// `tbuild inspect`: what is known of images, as the JSON array docker prints.

import { defineCommand } from '../command.ts';

export const inspect = defineCommand({
  name: 'inspect',
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  description: 'Return low-level information on images',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: {
    format: { short: 'f', value: 'string', choices: ['json'], default: 'json', help: 'Format of the output' },
  },
  run: async ({ positionals, library, stdout }) => {
    const documents = [];
    for (const name of positionals) documents.push(await library.inspectImage(name));
    stdout.write(`${JSON.stringify(documents, null, 4)}\n`);
    return 0;
  },
});
