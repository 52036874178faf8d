// `tbuild prune`: makes room by removing what is kept for later builds. Named images stay.

import type { PruneOptions } from '../../upkeep/prune.ts';
import { defineCommand } from '../command.ts';
import { confirm } from '../confirm.ts';
import { formatUsage } from '../lists/usage-table.ts';
import { formatSize } from '../units.ts';
import { parseBytes } from '../values/build-run.ts';
import { filterFlag, readUsageFilters } from '../values/usage.ts';

const WARNING = 'WARNING! This will remove images without a name, and all of the build cache that no other image has';
const WARNING_ALL = 'WARNING! This will remove images without a name, and all of the build cache';

export const prune = defineCommand({
  name: 'prune',
  usage: '[OPTIONS]',
  description: 'Remove the build cache, and images without a name',
  positionals: [0, 0],
  flags: {
    all: { short: 'a', help: 'Also what named images share with it, and compressed layers of pulled images' },
    filter: filterFlag,
    force: { short: 'f', help: 'Do not ask' },
    'keep-storage': { value: 'bytes', help: 'As --reserved-space' },
    'max-used-space': { value: 'bytes', help: 'Remove no more than until the cache takes this' },
    'min-free-space': { value: 'bytes', help: 'Remove no more than until the disk has this left' },
    remote: { value: 'string', help: 'A cache that machines share, in place of this store (as --cache-from has it)' },
    'reserved-space': { value: 'bytes', help: 'Always keep as much of what was used last' },
    verbose: { help: "Don't truncate output" },
  },
  examples: [
    ['tbuild prune --filter until=168h', 'what no build has used for a week'],
    ['tbuild prune --max-used-space 20GB', 'the longest unused, until 20 GB are left of it'],
    ['tbuild prune --remote host/cache --filter until=30d', 'of a shared cache'],
  ],
  run: async ({ flags, env, library, stdin, stdout }) => {
    const { remote } = flags;
    if (remote !== undefined) {
      stdout.write(await (await import('../prune-remote.ts')).pruneRemote({ ...flags, remote }, env, library));
      return 0;
    }
    const size = (name: 'keep-storage' | 'max-used-space' | 'min-free-space' | 'reserved-space') => {
      const text = flags[name];
      return text === undefined ? undefined : parseBytes(text, `--${name}`);
    };
    const reservedBytes = size('reserved-space') ?? size('keep-storage');
    const maxUsedBytes = size('max-used-space');
    const minFreeBytes = size('min-free-space');
    const options: PruneOptions = {
      all: flags.all,
      ...readUsageFilters(flags.filter, Date.now()),
      ...(reservedBytes !== undefined && { reservedBytes }),
      ...(maxUsedBytes !== undefined && { maxUsedBytes }),
      ...(minFreeBytes !== undefined && { minFreeBytes }),
    };
    const question = `${flags.all ? WARNING_ALL : WARNING}. Are you sure you want to continue? [y/N] `;
    if (!flags.force && !(await confirm(question, stdin(), stdout))) return 0;
    const { items, sizeBytes } = await library.prune(options);
    if (items.length > 0) stdout.write(`${formatUsage(items, { isWhole: flags.verbose, nowMs: Date.now() })}\n`);
    stdout.write(`Total reclaimed space: ${formatSize(sizeBytes)}\n`);
    return 0;
  },
});
