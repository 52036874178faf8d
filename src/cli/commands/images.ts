// `tbuild images`: the images of the store, the newest first, a row for each name.

import { defineCommand } from '../command.ts';
import { imageFilters, imageTest, namePattern } from '../image-filter.ts';
import type { Library } from '../library/library.ts';
import { createdMs, imageFormat, imageRows, newestFirst, shownImage } from '../lists/image-rows.ts';
import { formatHelp, formatRows } from '../lists/row-format.ts';
import { filterFlag, parseFilters } from '../values/filter.ts';

export const images = defineCommand({
  name: 'images',
  usage: '[OPTIONS] [REPOSITORY[:TAG]]',
  description: 'List images',
  positionals: [0, 1],
  flags: {
    all: { short: 'a', help: 'Show all images (there are no hidden ones)' },
    digests: { help: 'Show digests' },
    filter: filterFlag,
    format: { value: 'string', default: 'table', help: formatHelp },
    'no-trunc': { help: "Don't truncate output" },
    quiet: { short: 'q', help: 'Only show image IDs' },
  },
  run: async ({ flags, positionals: [pattern], library, stdout }) => {
    const nowMs = Date.now();
    const filters = parseFilters(flags.filter, imageFilters);
    const isNamed = pattern === undefined ? () => true : namePattern(pattern);
    const isWanted = imageTest(filters, { createdOf: await momentsOf(filters, library), nowMs });
    const rows = (await library.listImages())
      .flatMap((listed) => imageRows(listed))
      .filter((row) => isNamed(row) && isWanted(row))
      .sort(newestFirst)
      .map((row) => shownImage(row, { isWhole: flags['no-trunc'], nowMs }));
    stdout.write(formatRows(flags.quiet ? '{{.ID}}' : flags.format, imageFormat(flags.digests), rows));
    return 0;
  },
});

/** When the images were made that before= and since= name. */
async function momentsOf(filters: ReadonlyMap<string, readonly string[]>, library: Library): Promise<(name: string) => number> {
  const moments = new Map<string, number>();
  for (const name of [...(filters.get('before') ?? []), ...(filters.get('since') ?? [])])
    moments.set(name, createdMs({ created: (await library.inspectImage(name)).Created }));
  return (name) => moments.get(name) ?? 0;
}
