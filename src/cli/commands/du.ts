// `tbuild du`: what the build cache takes, a row for each thing, the largest first.

import { isReclaimable } from '../../upkeep/prune.ts';
import type { UsageItem } from '../../upkeep/usage.ts';
import { defineCommand } from '../command.ts';
import { formatUsage } from '../lists/usage-table.ts';
import { formatSize } from '../units.ts';
import { filterFlag, parseUsageFilters } from '../values/usage.ts';

export const du = defineCommand({
  name: 'du',
  usage: '[OPTIONS]',
  description: 'Show how much room the build cache takes',
  positionals: [0, 0],
  flags: {
    filter: filterFlag,
    format: {
      value: 'string',
      choices: ['table', 'json'],
      default: 'table',
      help: 'Format of the output: "table", or "json", one object a line',
    },
    verbose: { help: "Don't truncate output" },
  },
  run: async ({ flags, library, stdout }) => {
    const keeps = parseUsageFilters(flags.filter, Date.now());
    const items = (await library.listUsage()).filter(keeps).sort((a, b) => b.sizeBytes - a.sizeBytes);
    if (flags.format === 'json') {
      stdout.write(items.map((item) => `${JSON.stringify(jsonRow(item))}\n`).join(''));
      return 0;
    }
    if (items.length > 0) stdout.write(formatUsage(items, { isWhole: flags.verbose, nowMs: Date.now() }));
    const sum = (some: readonly UsageItem[]) => formatSize(some.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0));
    const [shared, alone] = [items.filter(({ isShared }) => isShared), items.filter(({ isShared }) => !isShared)];
    stdout.write(`${items.length > 0 ? '\n' : ''}Shared with images:  ${sum(shared)}\nCache alone:         ${sum(alone)}\n`);
    stdout.write(`Reclaimable:         ${sum(items.filter(isReclaimable))}\nTotal:               ${sum(items)}\n`);
    return 0;
  },
});

/** With buildx's names, and what they leave out. */
function jsonRow(item: UsageItem) {
  const { id, type, description, sizeBytes, lastUsed, isShared, isInUse } = item;
  return {
    ID: id,
    Type: type,
    Description: description,
    Size: sizeBytes,
    LastUsedAt: new Date(lastUsed).toISOString(),
    Shared: isShared,
    InUse: isInUse,
    Reclaimable: isReclaimable(item),
  };
}
