// `tbuild container prune`: containers that do not run go, after a question.

import { defineCommand } from '../command.ts';
import { confirm } from '../confirm.ts';
import { formatSize } from '../units.ts';
import { parseFilters } from '../values/filter.ts';
import { pruneFilterFlag, pruneFilters, pruneTest } from '../values/prune.ts';

const WARNING = 'WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ';

export const containerPrune = defineCommand({
  name: 'container prune',
  usage: '[OPTIONS]',
  description: 'Remove all stopped containers',
  positionals: [0, 0],
  flags: {
    filter: pruneFilterFlag,
    force: { short: 'f', help: 'Do not prompt for confirmation' },
  },
  run: async ({ flags, library, stdin, stdout }) => {
    const isMeant = pruneTest(parseFilters(flags.filter, pruneFilters), Date.now());
    if (!flags.force && !(await confirm(WARNING, stdin(), stdout))) return 0;
    const { ids, sizeBytes } = await library.pruneContainers(({ created, spec }) => isMeant({ created, labels: spec.labels }));
    if (ids.length > 0) stdout.write(`Deleted Containers:\n${ids.map((id) => `${id}\n`).join('')}\n`);
    stdout.write(`Total reclaimed space: ${formatSize(sizeBytes)}\n`);
    return 0;
  },
});
