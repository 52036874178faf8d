// `tbuild inspect`: what is known of images, as the JSON array docker prints, or as a template says.

import { defineCommand } from '../command.ts';
import { parsePlatformFlag, platformFlag } from '../platform-flag.ts';

export const inspect = defineCommand({
  name: 'inspect',
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  description: 'Return low-level information on images',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: {
    format: {
      short: 'f',
      value: 'string',
      default: 'json',
      help: 'Format of the output ("json", or a Go template for each image)',
    },
    platform: platformFlag,
  },
  run: async ({ flags, positionals, library, stdout }) => {
    const platform = parsePlatformFlag(flags.platform);
    const documents = [];
    for (const name of positionals) documents.push(await library.inspectImage(name, platform));
    if (flags.format === 'json') stdout.write(`${JSON.stringify(documents, null, 4)}\n`);
    else {
      const { renderTemplate } = await import('../go-template.ts');
      for (const document of documents) stdout.write(`${renderTemplate(flags.format, { ...document }, { indent: 0 })}\n`);
    }
    return 0;
  },
});
