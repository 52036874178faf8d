// `tbuild sbom`: which packages an image is made of.

import { writeFile } from 'node:fs/promises';
import { placeFile } from '../../images/place-file.ts';
import { defineCommand } from '../command.ts';
import { parseEpoch } from '../epoch.ts';
import { oneLine } from '../text.ts';
import { parsePlatformFlag, platformFlag } from '../values/platform.ts';

export const sbom = defineCommand({
  name: 'sbom',
  usage: '[OPTIONS] IMAGE',
  description: 'List the packages of an image, as a software bill of materials',
  positionals: [1, 1],
  flags: {
    format: {
      value: 'string',
      choices: ['spdx-json', 'cyclonedx-json'],
      default: 'spdx-json',
      help: 'Format of the document: "spdx-json" (SPDX 2.3) or "cyclonedx-json" (CycloneDX 1.6)',
    },
    output: { short: 'o', value: 'string', help: 'Write to a file, instead of STDOUT' },
    platform: platformFlag,
  },
  run: async ({ flags, positionals, library, stdout, stderr, env }) => {
    const platform = parsePlatformFlag(flags.platform);
    const epoch = parseEpoch(env.SOURCE_DATE_EPOCH);
    const format = flags.format as 'spdx-json' | 'cyclonedx-json';
    const { document, notes } = await library.describeContents(positionals[0]!, { format, platform, epoch });
    for (const note of notes) stderr.write(`warning: ${oneLine(note)}\n`);
    const text = `${JSON.stringify(document, null, 2)}\n`;
    if (flags.output === undefined || flags.output === '-') stdout.write(text);
    else await placeFile(flags.output, (path, flag) => writeFile(path, text, { flag }));
    return 0;
  },
});
