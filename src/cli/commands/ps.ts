// `tbuild ps`: the containers of the store, the newest first.

import { TbuildError } from '../../base/errors.ts';
import { containerFilters } from '../../containers/filter.ts';
import { defineCommand } from '../command.ts';
import { containerFormat, containerRow } from '../lists/container-rows.ts';
import { formatHelp, formatRows } from '../lists/row-format.ts';
import { filterFlag, parseFilters } from '../values/filter.ts';

export const ps = defineCommand({
  name: 'ps',
  usage: '[OPTIONS]',
  description: 'List containers',
  positionals: [0, 0],
  flags: {
    all: { short: 'a', help: 'Show all containers (default shows just running)' },
    filter: filterFlag,
    format: { value: 'string', default: 'table', help: formatHelp },
    last: { short: 'n', value: 'int', default: '-1', help: 'Show n last created containers (includes all states)' },
    latest: { short: 'l', help: 'Show the latest created container (includes all states)' },
    'no-trunc': { help: "Don't truncate output" },
    quiet: { short: 'q', help: 'Only display container IDs' },
    size: { short: 's', help: 'Display total file sizes' },
  },
  run: async ({ flags, library, stdout, stderr }) => {
    if (!/^[+-]?\d+$/.test(flags.last)) throw new TbuildError('usage/bad-value', `--last is a number, not "${flags.last}"`);
    if (flags.quiet && flags.format !== 'table')
      stderr.write('WARNING: Ignoring custom format, because both --format and --quiet are set.\n');
    const count = flags.latest && flags.last === '-1' ? 1 : Number(flags.last);
    // Sizes cost: only who asks for them pays.
    const hasSizes = flags.size || (!flags.quiet && /\.Size\b|json \.\s*\}/.test(flags.format));
    const listed = await library.listContainers({
      all: flags.all,
      ...(count > 0 && { last: count }),
      filters: parseFilters(flags.filter, containerFilters),
      hasSizes,
    });
    const options = { isWhole: flags['no-trunc'], nowMs: Date.now() };
    const rows = listed.map((each) => containerRow(each, options));
    stdout.write(formatRows(flags.quiet ? '{{.ID}}' : flags.format, containerFormat(hasSizes), rows));
    return 0;
  },
});
