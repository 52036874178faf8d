// `tbuild run`: a container from an image, made and started. Exits as docker run does: the container's own code, else 125, 126 or 127.

import type { CreateOptions } from '../../containers/create-options.ts';
import type { PullWatcher } from '../../containers/obtain-image.ts';
import { defineCommand } from '../command.ts';
import { containerExitCode } from '../container-exit-code.ts';
import { attachmentFlags, containerFlags } from '../container-flags.ts';
import { attachedStreams, readCreateOptions } from '../create-options.ts';
import type { Output } from '../surroundings.ts';
import { badValue } from '../values/bad-argument.ts';

export const run = defineCommand({
  name: 'run',
  usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]',
  description: 'Create and run a new container from an image',
  positionals: [1, Number.POSITIVE_INFINITY],
  stopAtPositional: true,
  flags: { ...containerFlags, ...attachmentFlags },
  run: async ({ flags, positionals: [image, ...command], library, env, stdout, stderr }) => {
    if (flags.detach && flags.attach.length > 0) throw badValue('Conflicting options: -a and -d');
    const options = readCreateOptions(flags, image as string, command, { env, tell: (line) => stderr.write(`${line}\n`) });
    const streams = flags.detach ? [] : attachedStreams(flags.attach, flags.interactive);
    const { columns: width, rows: height } = stdout;
    const attach = {
      streams,
      detachKeys: flags['detach-keys'],
      sigProxy: flags['sig-proxy'],
      ...(width && height && { terminalSize: { width, height } }),
    };
    const { id, exitCode } = await library.runContainer({
      ...options,
      ...(streams.length > 0 && { attach }),
      ...(!flags.quiet && { showPull: () => showPull(options, stderr) }),
    });
    // As docker: the ID where nothing of the container is shown.
    if (!streams.includes('stdout') && !streams.includes('stderr')) stdout.write(`${id}\n`);
    return exitCode;
  },
  exitCodeOf: containerExitCode,
});

/** In docker's words. Few runs have to pull. */
export async function showPull({ image, pull }: CreateOptions, stderr: Output): Promise<PullWatcher> {
  if (pull === 'missing') stderr.write(`Unable to find image '${image}' locally\n`);
  const { pullDisplay } = await import('../pull-display.ts');
  return pullDisplay(stderr);
}
