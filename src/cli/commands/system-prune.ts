// `tbuild system prune`: what nobody uses goes, of everything there is.

import { TbuildError } from '../../base/errors.ts';
import { defineCommand } from '../command.ts';
import { confirm } from '../confirm.ts';
import { removalLine } from '../removal-line.ts';
import { formatTotalSize } from '../units.ts';
import { parseFilters } from '../values/filter.ts';
import { pruneFilterFlag, pruneFilters, pruneTest } from '../values/prune.ts';
import { readUsageFilters } from '../values/usage.ts';

export const systemPrune = defineCommand({
  name: 'system prune',
  usage: '[OPTIONS]',
  description: 'Remove unused data',
  positionals: [0, 0],
  flags: {
    all: { short: 'a', help: 'Remove all unused images not just dangling ones' },
    filter: { ...pruneFilterFlag, help: 'Provide filter values (e.g. "label=<key>=<value>")' },
    force: { short: 'f', help: 'Do not prompt for confirmation' },
    volumes: { help: 'Prune anonymous volumes' },
  },
  run: async ({ flags, library, stdin, stdout }) => {
    const nowMs = Date.now();
    const filters = parseFilters(flags.filter, pruneFilters);
    if (flags.volumes && filters.has('until'))
      throw new TbuildError('usage/bad-value', 'the "until" filter is not supported with "--volumes"');
    if (!flags.force && !(await confirm(question({ ...flags, filters: flags.filter }), stdin(), stdout))) return 0;
    const isMeant = pruneTest(filters, nowMs);
    let sizeBytes = 0;
    const say = (title: string, lines: readonly string[], bytes: number) => {
      sizeBytes += bytes;
      if (lines.length > 0) stdout.write(`${title}:\n${lines.map((line) => `${line}\n`).join('')}\n`);
    };
    const containers = await library.pruneContainers(({ created, spec }) => isMeant({ created, labels: spec.labels }));
    say('Deleted Containers', containers.ids, containers.sizeBytes);
    say('Deleted Networks', await library.pruneNetworks((network) => isMeant(network)), 0);
    if (flags.volumes) {
      const volumes = await library.pruneVolumes((volume) => isMeant(volume), { all: false });
      say('Deleted Volumes', volumes.names, volumes.sizeBytes);
    }
    const images = await library.pruneImages({ all: flags.all, isMeant });
    say('Deleted Images', images.removals.map(removalLine), images.sizeBytes);
    // The cache has no labels: who asks for some does not mean it.
    if (!filters.has('label') && !filters.has('label!')) {
      const untils = (filters.get('until') ?? []).map((until) => `until=${until}`);
      const cache = await library.prune({ all: flags.all, ...readUsageFilters(untils, nowMs) });
      say(
        'Deleted build cache objects',
        cache.items.map(({ id }) => id),
        cache.sizeBytes,
      );
    }
    stdout.write(`Total reclaimed space: ${formatTotalSize(sizeBytes)}\n`);
    return 0;
  },
});

interface Asked {
  readonly all: boolean;
  readonly volumes: boolean;
  readonly filters: readonly string[];
}

function question({ all, volumes, filters }: Asked): string {
  const going = [
    'all stopped containers',
    'all networks not used by at least one container',
    ...(volumes ? ['all anonymous volumes not used by at least one container'] : []),
    all ? 'all images without at least one container associated to them' : 'all dangling images',
    all ? 'all build cache' : 'unused build cache',
  ];
  const list = (lines: readonly string[]) => lines.map((line) => `\n  - ${line}`).join('');
  const limits = filters.length === 0 ? '' : `\n\n  Items to be pruned will be filtered with:${list(filters.toSorted())}`;
  return `WARNING! This will remove:${list(going)}${limits}\n\nAre you sure you want to continue? [y/N] `;
}
