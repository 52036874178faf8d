// `tbuild commit`: a container's changes become an image.

import { defineCommand } from '../command.ts';

export const commit = defineCommand({
  name: 'commit',
  usage: '[OPTIONS] CONTAINER [REPOSITORY[:TAG]]',
  description: "Create a new image from a container's changes",
  positionals: [1, 2],
  flags: {
    author: { short: 'a', value: 'string', help: 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")' },
    change: { short: 'c', value: 'stringArray', repeated: true, help: 'Apply Dockerfile instruction to the created image' },
    message: { short: 'm', value: 'string', help: 'Commit message' },
    'no-pause': { help: 'Disable pausing container during commit' },
    pause: { short: 'p', default: 'true', help: 'Pause container during commit' },
  },
  examples: [[`tbuild commit -c 'CMD ["/srv/app"]' web team/web:fixed`, 'what web has written, with another command']],
  run: async ({ flags, positionals: [name, reference], library, stdout }) => {
    const { author, message, change } = flags;
    const { id } = await library.commitContainer(name!, {
      changes: change,
      pauses: flags.pause && !flags['no-pause'],
      ...(reference !== undefined && { name: reference }),
      ...(author !== undefined && { author }),
      ...(message !== undefined && { message }),
    });
    stdout.write(`${id}\n`);
    return 0;
  },
});
