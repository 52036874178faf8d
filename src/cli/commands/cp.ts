// `tbuild cp`: an image from a registry or a layout to another, without the store.

import { defineCommand } from '../command.ts';
import { interruptible } from '../interruption.ts';
import { parsePlatformFlag, platformFlag } from '../platform-flag.ts';

export const cp = defineCommand({
  name: 'cp',
  usage: '[OPTIONS] SOURCE DESTINATION',
  description:
    'Copy an image between registries and layouts, as it is (NAME or docker://NAME, oci:DIR[:TAG], oci-archive:FILE[:TAG])',
  positionals: [2, 2],
  flags: {
    all: { short: 'a', help: 'Copy all images, where there are several, and not that for this machine alone' },
    platform: platformFlag,
    quiet: { short: 'q', help: 'Suppress output' },
  },
  run: async ({ flags, positionals: [source, destination], library, stdout }) => {
    const platform = parsePlatformFlag(flags.platform);
    const { digest, size } = await interruptible((signal) =>
      library.copyImage(source!, destination!, { isAll: flags.all, signal, ...(platform && { platform }) }),
    );
    if (!flags.quiet) stdout.write(`${destination}: digest: ${digest} size: ${size}\n`);
    return 0;
  },
});
