// `tbuild push`: images of the store to their registry.

import type { Compression } from '../../oci/descriptor.ts';
import { formatReference, parseReference, withDefaultTag } from '../../oci/reference.ts';
import { defineCommand } from '../command.ts';
import { interruptible } from '../interruption.ts';
import { pushDisplay } from '../push-display.ts';
import { readLevel } from '../values/image-output.ts';
import { parsePlatformFlag, platformFlag } from '../values/platform.ts';

export const push = defineCommand({
  name: 'push',
  usage: '[OPTIONS] NAME[:TAG]',
  description: 'Upload an image to a registry',
  positionals: [1, 1],
  flags: {
    'all-tags': { short: 'a', help: 'Push all tags of an image to the repository' },
    compression: {
      value: 'string',
      choices: ['gzip', 'zstd', 'uncompressed'],
      default: 'gzip',
      help: 'Of layers made here ("gzip", "zstd", "uncompressed"); those that came from elsewhere go out as they came',
    },
    'compression-level': { value: 'int', help: 'Of gzip 0 to 9, of zstd 0 to 22 (default: that of each)' },
    'force-compression': { help: 'Compress all layers so, which gives images that came from elsewhere other digests' },
    platform: platformFlag,
    quiet: { short: 'q', help: 'Suppress verbose output' },
  },
  run: async ({ flags, positionals: [name], library, stdout }) => {
    const platform = parsePlatformFlag(flags.platform);
    const level = readLevel('--compression-level', flags['compression-level'], flags.compression);
    const reference = parseReference(name!);
    const isDefault = !flags['all-tags'] && reference.tag === undefined && reference.digest === undefined;
    if (isDefault && !flags.quiet) stdout.write('Using default tag: latest\n');
    const display = flags.quiet ? undefined : pushDisplay(stdout);
    try {
      await interruptible((signal) =>
        library.pushImages(name!, {
          signal,
          allTags: flags['all-tags'],
          compression: flags.compression === 'uncompressed' ? 'none' : (flags.compression as Compression),
          ...(level !== undefined && { level }),
          keepsOthers: !flags['force-compression'],
          ...(platform && { platform }),
          ...(display && { onEvent: display.show }),
        }),
      );
      if (flags.quiet) stdout.write(`${formatReference(flags['all-tags'] ? reference : withDefaultTag(reference))}\n`);
      return 0;
    } finally {
      display?.end();
    }
  },
});
