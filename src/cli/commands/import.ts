// `tbuild import`: a tar of files becomes an image.

import { existsSync } from 'node:fs';
import { TbuildError } from '../../base/errors.ts';
import type { ImportOptions } from '../../images/import.ts';
import { defineCommand } from '../command.ts';
import { parseEpoch } from '../epoch.ts';
import { interruptible } from '../interruption.ts';
import type { Surroundings } from '../surroundings.ts';
import { parsePlatformFlag } from '../values/platform.ts';

/** `import` is a word of the language. */
export const importCommand = defineCommand({
  name: 'import',
  usage: '[OPTIONS] FILE|URL|- [REPOSITORY[:TAG]]',
  description: 'Import the contents from a tarball to create a filesystem image',
  positionals: [1, 2],
  flags: {
    change: { short: 'c', value: 'stringArray', repeated: true, help: 'Apply Dockerfile instruction to the created image' },
    message: { short: 'm', value: 'string', help: 'Set commit message for imported image' },
    platform: { value: 'string', help: 'Platform of the image: "os/architecture[/variant]" (default: this machine\'s)' },
  },
  run: async ({ flags, positionals: [source, name], library, stdin, stdout, env }) => {
    const platform = parsePlatformFlag(flags.platform);
    const epoch = parseEpoch(env.SOURCE_DATE_EPOCH);
    const input = chooseInput(source!, stdin);
    const { id } = await interruptible((signal) =>
      library.importImage({
        input,
        signal,
        changes: flags.change,
        ...(name !== undefined && { name }),
        ...(flags.message !== undefined && { message: flags.message }),
        ...(platform && { platform }),
        ...(epoch !== undefined && { epoch }),
      }),
    );
    stdout.write(`${id}\n`);
    return 0;
  },
});

/** What is there on disk is that, whatever it looks like. */
function chooseInput(source: string, stdin: Surroundings['stdin']): ImportOptions['input'] {
  if (source !== '-') return /^https?:\/\//.test(source) && !existsSync(source) ? { url: source } : { path: source };
  const stream = stdin();
  if (stream.isTTY) {
    throw new TbuildError('usage/terminal', 'there is no tar on standard input', { hint: 'name a file, or a URL' });
  }
  return { stream };
}
