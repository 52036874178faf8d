// `tbuild save`: images from the store as one archive.

import { TbuildError } from '../../base/errors.ts';
import type { SaveOptions } from '../../images/save.ts';
import { defineCommand } from '../command.ts';
import { parsePlatformFlag, platformFlag } from '../platform-flag.ts';
import type { Output } from '../surroundings.ts';

export const save = defineCommand({
  name: 'save',
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  description: 'Save one or more images to a tar archive (streamed to STDOUT by default)',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: {
    format: {
      value: 'string',
      choices: ['docker', 'oci', 'docker-archive', 'oci-archive'],
      default: 'docker',
      help: 'Format of the archive: "docker" or "oci" ("docker-archive" and "oci-archive", as podman names them, mean the same)',
    },
    output: { short: 'o', value: 'string', help: 'Write to a file, instead of STDOUT' },
    platform: platformFlag,
  },
  run: async ({ flags, positionals, library, stdout }) => {
    const format = flags.format.startsWith('oci') ? 'oci' : 'docker';
    const destination = chooseDestination(flags.output, stdout);
    // As each tool's own: docker save does not compress, OCI archives are compressed.
    const platform = parsePlatformFlag(flags.platform);
    const compression = format === 'oci' ? 'gzip' : 'none';
    await library.saveImages(positionals, { format, destination, compression, ...(platform && { platform }) });
    return 0;
  },
});

function chooseDestination(path: string | undefined, stdout: Output): SaveOptions['destination'] {
  if (path !== undefined && path !== '-') return path;
  if (stdout.isTTY) {
    throw new TbuildError('usage/terminal', 'an archive is not written to a terminal', {
      hint: 'name a file with --output, or redirect standard output',
    });
  }
  return stdout;
}
