// `tbuild verify`: whether a build makes the same again. With build's flags, so that `verify` can stand for `build` in any command line; what they say of
// names and outputs counts for nothing.

import type { BuildEvent } from '../../build/events.ts';
import { defineCommand } from '../command.ts';
import { interruptible } from '../interruption.ts';
import { chooseProgress } from '../progress/choose.ts';
import { buildOptions, flagTable } from './build.ts';

export const verify = defineCommand({
  name: 'verify',
  usage: '[BUILD OPTIONS] PATH | URL | -',
  description:
    'Execute every RUN of a build again, and name the first file that is not the same as before. Names and outputs are left alone',
  positionals: [1, 1],
  flags: flagTable,
  run: async (invocation) => {
    const { flags, library, stdout } = invocation;
    const progress = chooseProgress(invocation, flags.quiet ? 'quiet' : flags.progress);
    let runs = 0;
    const show = (event: BuildEvent) => {
      if (event.type === 'plan') runs = event.steps.filter(({ name }) => /^(\[[^\]]*\] )?RUN /.test(name)).length;
      if (event.type !== 'result') progress.show(event);
    };
    try {
      const options = await buildOptions(invocation);
      await interruptible(
        (signal) => library.buildImage({ ...options, tags: [], outputs: [], verify: true, onEvent: show, signal }),
        progress.interrupt,
      );
      stdout.write(`${runs === 1 ? 'the one RUN' : `all ${runs} RUNs`} made the same again\n`);
      return 0;
    } catch (error) {
      return progress.fail(error);
    }
  },
});
