// `tbuild pull`: an image from its registry into the store.

import { familiarName } from '../../oci/reference.ts';
import { defineCommand } from '../command.ts';
import { interruptible } from '../interruption.ts';
import { pullDisplay } from '../pull-display.ts';
import { parsePlatformFlag, platformFlag } from '../values/platform.ts';

export const pull = defineCommand({
  name: 'pull',
  usage: '[OPTIONS] NAME[:TAG|@DIGEST]',
  description: 'Download an image from a registry',
  positionals: [1, 1],
  flags: {
    'all-tags': { short: 'a', help: 'Download all tagged images in the repository' },
    platform: platformFlag,
    quiet: { short: 'q', help: 'Suppress verbose output' },
  },
  run: async ({ flags, positionals: [name], library, stdout }) => {
    const platform = parsePlatformFlag(flags.platform);
    const display = flags.quiet ? undefined : pullDisplay(stdout);
    try {
      const pulled = await interruptible((signal) =>
        library.pullImages(name!, {
          signal,
          allTags: flags['all-tags'],
          ...(platform && { platform }),
          ...(display && { onEvent: display.show }),
        }),
      );
      display?.end();
      for (const each of pulled) stdout.write(`${flags.quiet ? familiarName(each.name) : each.name}\n`);
      return 0;
    } finally {
      display?.end();
    }
  },
});
