// `tbuild system df`: what takes room in the store.

import { TbuildError } from '../../base/errors.ts';
import { defineCommand } from '../command.ts';
import { diskUsageFormat, diskUsageRows, diskUsageTables } from '../lists/disk-usage-rows.ts';
import { formatHelp, formatRows } from '../lists/row-format.ts';

export const systemDf = defineCommand({
  name: 'system df',
  usage: '[OPTIONS]',
  description: 'Show how much room the store takes',
  positionals: [0, 0],
  flags: {
    format: { value: 'string', default: 'table', help: formatHelp },
    verbose: { short: 'v', help: 'Show detailed information on space usage' },
  },
  run: async ({ flags, library, stdout }) => {
    if (flags.verbose && flags.format !== 'table')
      throw new TbuildError('usage/bad-value', '--verbose is a table for each kind of thing: it takes no --format');
    const usage = await library.diskUsage();
    const text = flags.verbose
      ? diskUsageTables(usage, Date.now())
      : formatRows(flags.format, diskUsageFormat, diskUsageRows(usage));
    stdout.write(text);
    return 0;
  },
});
