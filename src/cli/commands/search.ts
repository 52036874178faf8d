// `tbuild search`: what images there are, on Docker Hub or in another registry.

import { TbuildError } from '../../base/errors.ts';
import { parseBool } from '../../base/parse-bool.ts';
import type { FoundRepository } from '../../registry/search.ts';
import { defineCommand } from '../command.ts';
import { interruptible } from '../interruption.ts';
import { formatHelp, formatRows, type Row, type RowFormat, Shown } from '../lists/row-format.ts';
import { cutToWidth, oneLine } from '../text.ts';

const shownDescription = 45;

export const search = defineCommand({
  name: 'search',
  usage: '[OPTIONS] TERM',
  description: 'Search Docker Hub for images, or with HOST/TERM the catalog of a registry',
  positionals: [1, 1],
  flags: {
    filter: {
      short: 'f',
      value: 'stringArray',
      repeated: true,
      help: 'Filter output based on conditions provided ("stars=N", "is-official=true")',
    },
    format: { value: 'string', default: 'table', help: formatHelp },
    limit: { value: 'int', default: '25', help: 'Max number of search results' },
    'list-tags': { help: 'List the tags of the repository TERM' },
    'no-trunc': { help: "Don't truncate output" },
  },
  run: async ({ flags, positionals: [term], library, stdout }) => {
    const isWanted = filterOf(flags.filter);
    const limit = Number(flags.limit);
    if (!/^\d+$/.test(flags.limit) || limit < 1 || limit > 10_000)
      throw new TbuildError('usage/bad-value', `--limit is a number from 1 to 10000, not "${flags.limit}"`);
    const all = await interruptible((signal) => library.searchRegistry(term!, { limit, listsTags: flags['list-tags'], signal }));
    const found = all.filter(isWanted);
    const rows = found.map((each) => shownRow(each, flags['no-trunc']));
    stdout.write(formatRows(flags.format, flags['list-tags'] ? tagFormat : rowFormat, rows));
    return 0;
  },
});

const rowFormat: RowFormat = {
  table: '{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}',
  headers: { Name: 'NAME', Description: 'DESCRIPTION', StarCount: 'STARS', IsOfficial: 'OFFICIAL', IsAutomated: 'AUTOMATED' },
};

const tagFormat: RowFormat = { table: '{{.Name}}\t{{.Tag}}', headers: { Name: 'NAME', Tag: 'TAG' } };

function shownRow({ name, description, stars, isOfficial, tag }: FoundRepository, isWhole: boolean): Row {
  if (tag !== undefined) return { Name: name, Tag: tag };
  return {
    Name: name,
    Description: isWhole ? description : cutToWidth(oneLine(description), shownDescription),
    StarCount: String(stars),
    IsOfficial: new Shown(isOfficial ? '[OK]' : '', String(isOfficial)),
    IsAutomated: new Shown('', 'false'),
  };
}

function filterOf(texts: readonly string[]): (found: FoundRepository) => boolean {
  const tests = texts.map((text) => {
    const [, key, value = ''] = /^([^=]*)=(.*)$/s.exec(text) ?? [];
    const isOfficial = parseBool(value);
    if (key === 'stars' && /^\d+$/.test(value)) return ({ stars }: FoundRepository) => stars >= Number(value);
    if (key === 'is-official' && isOfficial !== undefined) return (found: FoundRepository) => found.isOfficial === isOfficial;
    throw new TbuildError('usage/bad-value', `--filter is stars=NUMBER or is-official=true|false, not "${text}"`);
  });
  return (found) => tests.every((test) => test(found));
}
