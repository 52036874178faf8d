// `tbuild top`: what runs in a container.

import { defineCommand } from '../command.ts';
import { alignTabs } from '../lists/tab-writer.ts';
import { oneLine } from '../text.ts';

/** docker/cli cli/command/container/top.go. */
const LEAST_WIDTH = 20;

export const top = defineCommand({
  name: 'top',
  usage: 'CONTAINER [ps OPTIONS]',
  description: 'Display the running processes of a container',
  positionals: [1, Number.POSITIVE_INFINITY],
  stopAtPositional: true,
  flags: {},
  run: async ({ positionals: [name, ...options], library, stdout }) => {
    const { titles, rows } = await library.listProcesses(name!, options);
    const lines = [titles, ...rows].map((cells) => `${cells.map(oneLine).join('\t')}\n`);
    stdout.write(alignTabs(lines.join(''), LEAST_WIDTH));
    return 0;
  },
});
