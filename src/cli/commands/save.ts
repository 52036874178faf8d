// `tbuild save`: images from the store as one archive.

import { TbuildError } from '../../base/errors.ts';
import type { BlobOptions } from '../../images/layer-blobs.ts';
import type { SaveOptions } from '../../images/save.ts';
import type { Compression } from '../../oci/descriptor.ts';
import { defineCommand } from '../command.ts';
import type { Output } from '../surroundings.ts';
import { readLevel } from '../values/image-output.ts';
import { parsePlatformFlag, platformFlag } from '../values/platform.ts';

export const save = defineCommand({
  name: 'save',
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  description: 'Save one or more images to a tar archive (streamed to STDOUT by default)',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: {
    compression: {
      value: 'string',
      choices: ['gzip', 'zstd', 'uncompressed'],
      help: 'Of layers ("gzip", "zstd", "uncompressed"; default: gzip of an OCI archive, none of a docker archive); what came from elsewhere compressed goes out as it came',
    },
    'compression-level': { value: 'int', help: 'Of gzip 0 to 9, of zstd 0 to 22 (default: that of each)' },
    'force-compression': { help: 'Compress all layers so, which gives images that came from elsewhere other digests' },
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
    const platform = parsePlatformFlag(flags.platform);
    const options = { format, ...compressionOf(format, flags), ...(platform && { platform }) } as const;
    await library.saveImages(positionals, { ...options, destination: chooseDestination(flags.output, stdout) });
    return 0;
  },
});

interface CompressionFlags {
  readonly compression: string | undefined;
  readonly 'compression-level': string | undefined;
  readonly 'force-compression': boolean;
}

/** By default as each tool's own: docker save does not compress, OCI archives are compressed. */
function compressionOf(format: 'oci' | 'docker', flags: CompressionFlags): BlobOptions {
  const said = flags.compression ?? (format === 'oci' ? 'gzip' : 'uncompressed');
  const compression = said === 'uncompressed' ? 'none' : (said as Compression);
  const level = readLevel('--compression-level', flags['compression-level'], said);
  // What is to be plain for docker is plain, wherever it came from.
  const keepsOthers = !flags['force-compression'] && (format === 'oci' || compression !== 'none');
  return { compression, keepsOthers, ...(level !== undefined && { level }) };
}

function chooseDestination(path: string | undefined, stdout: Output): SaveOptions['destination'] {
  if (path !== undefined && path !== '-') return path;
  if (stdout.isTTY) {
    throw new TbuildError('usage/terminal', 'an archive is not written to a terminal', {
      hint: 'name a file with --output, or redirect standard output',
    });
  }
  return stdout;
}
