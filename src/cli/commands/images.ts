// `tbuild images`: the images of the store, the newest first.

import { defineCommand } from '../command.ts';
import type { ImageRow } from '../library.ts';
import { formatTable, shortId } from '../table.ts';
import { formatAge, formatSize } from '../units.ts';

export const images = defineCommand({
  name: 'images',
  usage: '[OPTIONS] [REPOSITORY[:TAG]]',
  description: 'List images',
  positionals: [0, 1],
  flags: {
    digests: { help: 'Show digests' },
    format: {
      value: 'string',
      choices: ['table', 'json'],
      default: 'table',
      help: 'Format of the output: "table", or "json", one object a line',
    },
    'no-trunc': { help: "Don't truncate output" },
    quiet: { short: 'q', help: 'Only show image IDs' },
  },
  run: async ({ flags, positionals: [filter], library, stdout }) => {
    const rows = (await library.listImages()).filter((row) => filter === undefined || isNamed(row, filter)).sort(newestFirst);
    const id = (row: ImageRow) => (flags['no-trunc'] ? row.id : shortId(row.id));
    if (flags.quiet) {
      stdout.write([...new Set(rows.map(id))].map((line) => `${line}\n`).join(''));
    } else if (flags.format === 'json') {
      const nowMs = Date.now();
      stdout.write(rows.map((row) => `${JSON.stringify(jsonRow(row, id(row), nowMs))}\n`).join(''));
    } else {
      stdout.write(tableOf(rows, id, flags.digests));
    }
    return 0;
  },
});

const none = '<none>';

function tableOf(rows: readonly ImageRow[], id: (row: ImageRow) => string, hasDigests: boolean): string {
  const nowMs = Date.now();
  const header = ['REPOSITORY', 'TAG', ...(hasDigests ? ['DIGEST'] : []), 'IMAGE ID', 'CREATED', 'SIZE'];
  const cells = rows.map((row) => [
    row.repository ?? none,
    row.tag ?? none,
    ...(hasDigests ? [row.digest] : []),
    id(row),
    formatAge(row.created, nowMs),
    formatSize(row.sizeBytes),
  ]);
  return formatTable(header, cells);
}

/** The names of docker's `--format json`. */
function jsonRow(row: ImageRow, id: string, nowMs: number) {
  return {
    CreatedAt: row.created ?? 'N/A',
    CreatedSince: formatAge(row.created, nowMs),
    Digest: row.digest,
    ID: id,
    Repository: row.repository ?? none,
    Size: formatSize(row.sizeBytes),
    Tag: row.tag ?? none,
  };
}

/** `app` is every tag of app, `app:1` that one; a colon before the last slash is a port's. */
function isNamed({ repository, tag }: ImageRow, filter: string): boolean {
  return repository === filter || `${repository}:${tag}` === filter;
}

function newestFirst(a: ImageRow, b: ImageRow): number {
  const [nameA, nameB] = [`${a.repository}:${a.tag}`, `${b.repository}:${b.tag}`];
  return Date.parse(b.created ?? '0') - Date.parse(a.created ?? '0') || (nameA < nameB ? -1 : 1);
}
