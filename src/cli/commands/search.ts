// `tbuild search`: what images there are, on Docker Hub or in another registry.

import { TbuildError } from '../../base/errors.ts';
import { parseBool } from '../../base/parse-bool.ts';
import type { FoundRepository } from '../../registry/search.ts';
import { defineCommand } from '../command.ts';
import { interruptible } from '../interruption.ts';
import { formatTable } from '../table.ts';

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
    format: {
      value: 'string',
      choices: ['table', 'json'],
      default: 'table',
      help: 'Format of the output: "table", or "json", one object a line',
    },
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
    if (flags.format === 'json') stdout.write(found.map((each) => `${JSON.stringify(jsonRow(each))}\n`).join(''));
    else if (flags['list-tags'])
      stdout.write(
        formatTable(
          ['NAME', 'TAG'],
          found.map(({ name, tag = '' }) => [name, tag]),
        ),
      );
    else
      stdout.write(
        formatTable(
          ['NAME', 'DESCRIPTION', 'STARS', 'OFFICIAL'],
          found.map((each) => row(each, flags['no-trunc'])),
        ),
      );
    return 0;
  },
});

function row({ name, description, stars, isOfficial }: FoundRepository, isWhole: boolean): string[] {
  const isCut = !isWhole && description.length > shownDescription;
  const shown = isCut ? `${description.slice(0, shownDescription - 1)}…` : description;
  return [name, shown, String(stars), isOfficial ? '[OK]' : ''];
}

/** The names of docker's `--format json`. */
function jsonRow({ name, description, stars, isOfficial, tag }: FoundRepository) {
  if (tag !== undefined) return { Name: name, Tag: tag };
  return { Name: name, Description: description, StarCount: String(stars), IsOfficial: String(isOfficial) };
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
