// `tbuild exec`: one more command in a container that runs. Exits as the command does, else as docker exec: 126, 127, and 1 for all else.

import { exitCodeOf } from '../../base/error-object.ts';
import { defineCommand } from '../command.ts';
import { containerExitCode } from '../container-exit-code.ts';
import { readEnv } from '../values/env.ts';

export const exec = defineCommand({
  name: 'exec',
  usage: '[OPTIONS] CONTAINER COMMAND [ARG...]',
  description: 'Execute a command in a running container',
  positionals: [2, Number.POSITIVE_INFINITY],
  stopAtPositional: true,
  flags: {
    detach: { short: 'd', help: 'Detached mode: run command in the background' },
    'detach-keys': { value: 'string', help: 'Override the key sequence for detaching a container' },
    env: { short: 'e', value: 'list', repeated: true, help: 'Set environment variables' },
    'env-file': { value: 'list', repeated: true, help: 'Read in a file of environment variables' },
    interactive: { short: 'i', help: 'Keep STDIN open even if not attached' },
    privileged: { help: 'Give extended privileges to the command' },
    tty: { short: 't', help: 'Allocate a pseudo-TTY' },
    user: { short: 'u', value: 'string', help: 'Username or UID (format: "<name|uid>[:<group|gid>]")' },
    workdir: { short: 'w', value: 'string', help: 'Working directory inside the container' },
  },
  run: async ({ flags, positionals: [container, ...command], library, env }) =>
    library.execInContainer(container as string, {
      command,
      env: [...(flags.tty ? ['TERM=xterm'] : []), ...readEnv(flags.env, flags['env-file'], env)].filter((each) =>
        each.includes('='),
      ),
      privileged: flags.privileged,
      tty: flags.tty,
      interactive: flags.interactive,
      detach: flags.detach,
      detachKeys: flags['detach-keys'],
      ...(flags.user && { user: flags.user }),
      ...(flags.workdir && { workdir: flags.workdir }),
    }),
  exitCodeOf: (error) => (containerExitCode(error) === 125 ? exitCodeOf(error) : containerExitCode(error)),
});
