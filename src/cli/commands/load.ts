// `tbuild load`: images from a docker or OCI archive, or from an OCI layout directory, into the store.

import { TbuildError } from '../../base/errors.ts';
import type { LoadOptions } from '../../images/load.ts';
import { familiarName } from '../../oci/reference.ts';
import { defineCommand } from '../command.ts';
import type { Surroundings } from '../surroundings.ts';
import { parsePlatformFlag, platformFlag } from '../values/platform.ts';

export const load = defineCommand({
  name: 'load',
  usage: '[OPTIONS]',
  description: 'Load images from a tar archive, an OCI layout or STDIN',
  positionals: [0, 0],
  flags: {
    input: { short: 'i', value: 'string', help: 'Read from tar archive file, instead of STDIN' },
    'oci-layout': { value: 'string', help: 'Read from an OCI layout directory' },
    platform: {
      ...platformFlag,
      help: 'Load only the given platform of an image that is there for several: "os/architecture[/variant]"',
    },
    quiet: { short: 'q', help: 'Suppress the load output' },
    tag: { short: 't', value: 'string', help: 'Name of the image of the OCI layout (format: "[registry/]repository[:tag]")' },
  },
  run: async ({ flags, library, stdin, stdout }) => {
    const platform = parsePlatformFlag(flags.platform);
    const loaded = await library.loadImages({ ...loadOptions(flags, stdin), ...(platform && { platform }) });
    if (flags.quiet) return 0;
    for (const { id, names } of loaded) {
      if (names.length === 0) stdout.write(`Loaded image ID: ${id}\n`);
      for (const name of names) stdout.write(`Loaded image: ${familiarName(name)}\n`);
    }
    return 0;
  },
});

interface SourceFlags {
  readonly input: string | undefined;
  readonly 'oci-layout': string | undefined;
  readonly tag: string | undefined;
}

function loadOptions({ input, 'oci-layout': layout, tag }: SourceFlags, stdin: Surroundings['stdin']): LoadOptions {
  if (layout !== undefined) {
    if (input !== undefined) throw new TbuildError('usage/conflict', '--input and --oci-layout cannot be used together');
    return { input: { path: layout }, ...(tag !== undefined && { names: [tag] }) };
  }
  if (tag !== undefined) throw new TbuildError('usage/conflict', '--tag goes with --oci-layout: archives name their images');
  if (input !== undefined && input !== '-') return { input: { path: input } };
  const stream = stdin();
  if (stream.isTTY) {
    throw new TbuildError('usage/terminal', 'there is no archive on standard input', { hint: 'name a file with --input' });
  }
  return { input: { stream } };
}
