// `tbuild history`: the instructions an image was made by, the last one first.

import { defineCommand } from '../command.ts';
import type { ImageDetails } from '../library.ts';
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
  },
  run: async ({ flags, positionals, library, stdout }) => {
    const rows = historyRows(await library.describeImage(positionals[0]!), flags['no-trunc'], Date.now());
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

function historyRows({ id, config, layerSizesBytes }: ImageDetails, isWhole: boolean, nowMs: number) {
  let layer = 0;
  const rows = (config.history ?? []).map((entry) => {
    const sizeBytes = entry.empty_layer ? 0 : (layerSizesBytes[layer++] ?? 0);
    const createdBy = oneLine((entry.created_by ?? '').replace(/\s+/g, ' '));
    return {
      ID: '<missing>',
      CreatedAt: entry.created ?? '',
      CreatedSince: formatAge(entry.created, nowMs),
      CreatedBy: isWhole || createdBy.length <= createdByLength ? createdBy : `${createdBy.slice(0, createdByLength - 1)}…`,
      Size: formatSize(sizeBytes),
      Comment: entry.comment ?? '',
    };
  });
  // Only the last line stands for an image that can be named.
  return rows.reverse().map((row, index) => (index === 0 ? { ...row, ID: isWhole ? id : shortId(id) } : row));
}
