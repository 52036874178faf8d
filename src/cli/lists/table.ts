// Rows in columns, as docker's tables: no rules, three spaces between, each column at least ten wide. Pure.

import { oneLine, widthOf } from '../text.ts';

export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  return alignColumns([header, ...rows], { padding: 3, least: 10 });
}

/** `padding`: blanks after the widest cell of a column; `least`: how wide a column is in any case. */
export function alignColumns(
  rows: readonly (readonly string[])[],
  { padding, least = 0 }: { padding: number; least?: number },
): string {
  const lines = rows.map((row) => row.map(oneLine));
  const widths = lines[0]!.map((_, column) =>
    Math.max(least, Math.max(...lines.map((line) => widthOf(line[column] ?? ''))) + padding),
  );
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, column) => pad(cell, widths[column]!))
          .join('')
          .trimEnd()}\n`,
    )
    .join('');
}

function pad(cell: string, width: number): string {
  return cell + ' '.repeat(Math.max(0, width - widthOf(cell)));
}

/** `sha256:0123456789ab…` as people quote it. */
export function shortId(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1).slice(0, 12);
}
