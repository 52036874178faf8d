// `tbuild history`: the instructions an image was made by, the last one first.

import type { HistoryRow } from '../../images/describe.ts';
import { defineCommand } from '../command.ts';
import { parsePlatformFlag, platformFlag } from '../platform-flag.ts';
import { formatTable, shortId } from '../table.ts';
import { oneLine } from '../text.ts';
import { formatAge, formatSize } from '../units.ts';

export const history = defineCommand({
  name: 'history',
  usage: '[OPTIONS] IMAGE',
  description: 'Show the history of an image',
  positionals: [1, 1],
  flags: {
    format: {
      value: 'string',
      choices: ['table', 'json'],
      default: 'table',
      help: 'Format of the output: "table", or "json", one object a line',
    },
    'no-trunc': { help: "Don't truncate output" },
    platform: platformFlag,
  },
  run: async ({ flags, positionals, library, stdout }) => {
    const nowMs = Date.now();
    const history = await library.imageHistory(positionals[0]!, parsePlatformFlag(flags.platform));
    const rows = history.map((row) => shownRow(row, flags['no-trunc'], nowMs));
    if (flags.format === 'json') {
      stdout.write(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    } else {
      const cells = rows.map((row) => [row.ID, row.CreatedSince, row.CreatedBy, row.Size, row.Comment]);
      stdout.write(formatTable(['IMAGE', 'CREATED', 'CREATED BY', 'SIZE', 'COMMENT'], cells));
    }
    return 0;
  },
});

/** Docker's column, cut with an ellipsis. */
const createdByLength = 45;

/** The names of docker's `--format json`. */
function shownRow({ id, created, createdBy, sizeBytes, comment }: HistoryRow, isWhole: boolean, nowMs: number) {
  const line = oneLine(createdBy.replace(/\s+/g, ' '));
  return {
    ID: id === undefined ? '<missing>' : isWhole ? id : shortId(id),
    CreatedAt: created ?? '',
    CreatedSince: formatAge(created, nowMs),
    CreatedBy: isWhole || line.length <= createdByLength ? line : `${line.slice(0, createdByLength - 1)}…`,
    Size: formatSize(sizeBytes),
    Comment: comment,
  };
}
