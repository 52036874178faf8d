// `tbuild start`: containers that are there and do not run. With -a or -i one of them, and its exit code.

import { exitCodeOf } from '../../base/error-object.ts';
import { TbuildError } from '../../base/errors.ts';
import { defineCommand } from '../command.ts';
import { reportError } from '../report-error.ts';

export const start = defineCommand({
  name: 'start',
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  description: 'Start one or more stopped containers',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: {
    attach: { short: 'a', help: 'Attach STDOUT/STDERR and forward signals' },
    'detach-keys': { value: 'string', help: 'Override the key sequence for detaching a container' },
    interactive: { short: 'i', help: "Attach container's STDIN" },
  },
  run: async ({ flags, positionals, library, stdout, stderr, env, isDebug }) => {
    if (flags.attach || flags.interactive) {
      const [name, ...others] = positionals as [string, ...string[]];
      if (others.length > 0) throw new TbuildError('usage/arguments', 'you cannot start and attach multiple containers at once');
      const { columns: width, rows: height } = stdout;
      return library.startContainer(name, {
        withStdin: flags.interactive,
        detachKeys: flags['detach-keys'],
        sigProxy: true,
        ...(width && height && { terminalSize: { width, height } }),
      });
    }
    const failed: string[] = [];
    for (const name of positionals) {
      try {
        await library.startContainer(name);
        stdout.write(`${name}\n`);
      } catch (error) {
        reportError(error, { stderr, env, isDebug });
        failed.push(name);
      }
    }
    if (failed.length === 0) return 0;
    const error = new TbuildError('container/not-started', `failed to start containers: ${failed.join(', ')}`);
    reportError(error, { stderr, env, isDebug });
    return exitCodeOf(error);
  },
});
