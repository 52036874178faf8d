// `tbuild history`: the instructions an image was made by, the last one first (docker/cli cli/command/formatter/history.go).

import type { HistoryRow } from '../../images/describe.ts';
import { defineCommand } from '../command.ts';
import { formatHelp, formatRows, type Row } from '../lists/row-format.ts';
import { shortId } from '../lists/table.ts';
import { cutToWidth, oneLine } from '../text.ts';
import { formatAge, formatSize } from '../units.ts';
import { parsePlatformFlag, platformFlag } from '../values/platform.ts';

export const history = defineCommand({
  name: 'history',
  usage: '[OPTIONS] IMAGE',
  description: 'Show the history of an image',
  positionals: [1, 1],
  flags: {
    format: { value: 'string', default: 'table', help: formatHelp },
    human: { short: 'H', default: 'true', help: 'Print sizes and dates in human readable format' },
    'no-trunc': { help: "Don't truncate output" },
    platform: platformFlag,
    quiet: { short: 'q', help: 'Only show image IDs' },
  },
  run: async ({ flags, positionals, library, stdout }) => {
    const nowMs = Date.now();
    const history = await library.imageHistory(positionals[0]!, parsePlatformFlag(flags.platform));
    const options = { isWhole: flags['no-trunc'], isHuman: flags.human, nowMs };
    const created = flags.human ? 'CreatedSince' : 'CreatedAt';
    const format = { table: `{{.ID}}\t{{.${created}}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}`, headers };
    const rows = history.map((row) => shownRow(row, options));
    stdout.write(formatRows(flags.quiet ? '{{.ID}}' : flags.format, format, rows));
    return 0;
  },
});

const headers = {
  ID: 'IMAGE',
  CreatedSince: 'CREATED',
  CreatedAt: 'CREATED AT',
  CreatedBy: 'CREATED BY',
  Size: 'SIZE',
  Comment: 'COMMENT',
};

interface Shown {
  readonly isWhole: boolean;
  readonly isHuman: boolean;
  readonly nowMs: number;
}

function shownRow(row: HistoryRow, { isWhole, isHuman, nowMs }: Shown): Row {
  const { id, created, createdBy, sizeBytes, comment } = row;
  const line = oneLine(createdBy.replace(/\s+/g, ' '));
  const at = created === undefined ? '' : new Date(created).toISOString().replace(/\.\d+Z$/, 'Z');
  return {
    ID: id === undefined ? '<missing>' : isWhole ? id : shortId(id),
    CreatedSince: isHuman ? formatAge(created, nowMs) : at,
    CreatedAt: at,
    CreatedBy: isWhole ? line : cutToWidth(line, 45),
    Size: isHuman ? formatSize(sizeBytes) : String(sizeBytes),
    Comment: comment,
  };
}
