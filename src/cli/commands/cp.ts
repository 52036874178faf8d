// `tbuild cp`: an image from a registry or a layout to another, without the store; or files of a RUN that failed, or of a step.

import { defineCommand } from '../command.ts';
import { interruptible } from '../interruption.ts';
import { parsePlatformFlag, platformFlag } from '../platform-flag.ts';

/** No image is named so: a tag does not begin with a slash, and a path does. */
const INSIDE = /^(fail|step:.+?):(\/.*)$/;

export const cp = defineCommand({
  name: 'cp',
  usage: '[OPTIONS] SOURCE DESTINATION\n        tbuild cp fail:PATH|step:STEP:PATH DESTINATION',
  description:
    'Copy an image between registries, layouts and archives (NAME or docker://NAME, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], docker-daemon:NAME)',
  positionals: [2, 2],
  flags: {
    all: { short: 'a', help: 'Copy all images, where there are several, and not that for this machine alone' },
    platform: platformFlag,
    quiet: { short: 'q', help: 'Suppress output' },
  },
  examples: [['tbuild cp fail:/app/reports .', 'what the last RUN that failed left there']],
  run: async ({ flags, positionals: [source, destination], library, stdout }) => {
    const platform = parsePlatformFlag(flags.platform);
    const [, at, path] = INSIDE.exec(source!) ?? [];
    if (at !== undefined && path !== undefined) {
      await interruptible((signal) => library.takeOut({ at, path, destination: destination!, signal }));
      return 0;
    }
    const { digest, size } = await interruptible((signal) =>
      library.copyImage(source!, destination!, { isAll: flags.all, signal, ...(platform && { platform }) }),
    );
    if (!flags.quiet) stdout.write(`${destination}: digest: ${digest} size: ${size}\n`);
    return 0;
  },
});
