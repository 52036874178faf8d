// `tbuild image prune`: images that no container is of go, after a question.

import { defineCommand } from '../command.ts';
import { confirm } from '../confirm.ts';
import { removalLine } from '../removal-line.ts';
import { formatTotalSize } from '../units.ts';
import { parseFilters } from '../values/filter.ts';
import { pruneFilterFlag, pruneFilters, pruneTest } from '../values/prune.ts';

const WARNING = 'WARNING! This will remove all dangling images.';
const WARNING_ALL = 'WARNING! This will remove all images without at least one container associated to them.';

export const imagePrune = defineCommand({
  name: 'image prune',
  usage: '[OPTIONS]',
  description: 'Remove unused images',
  positionals: [0, 0],
  flags: {
    all: { short: 'a', help: 'Remove all unused images, not just dangling ones' },
    filter: pruneFilterFlag,
    force: { short: 'f', help: 'Do not prompt for confirmation' },
  },
  run: async ({ flags, library, stdin, stdout }) => {
    const isMeant = pruneTest(parseFilters(flags.filter, pruneFilters), Date.now());
    const question = `${flags.all ? WARNING_ALL : WARNING}\nAre you sure you want to continue? [y/N] `;
    if (!flags.force && !(await confirm(question, stdin(), stdout))) return 0;
    const { removals, sizeBytes } = await library.pruneImages({ all: flags.all, isMeant });
    if (removals.length > 0) stdout.write(`Deleted Images:\n${removals.map((each) => `${removalLine(each)}\n`).join('')}\n`);
    stdout.write(`Total reclaimed space: ${formatTotalSize(sizeBytes)}\n`);
    return 0;
  },
});
