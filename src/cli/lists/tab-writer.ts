// Text whose cells end in tabs, aligned as Go's tabwriter aligns it for docker's tables: cells of a least width, three blanks between. Pure.

import { widthOf } from '../text.ts';

const PADDING = 3;

/** A column is as wide as its cells in lines that follow each other; what stands behind a line's last tab is no cell, and as long as it is. */
export function alignTabs(text: string, leastWidth = 10): string {
  const lines = text.split('\n').map((line) => line.split('\t'));
  const widths = lines.map((): number[] => []);
  const mostCells = Math.max(...lines.map((cells) => cells.length)) - 1;
  for (let column = 0; column < mostCells; column++) setWidths(lines, column, widths, leastWidth);
  return lines.map((cells, line) => cells.map((cell, column) => pad(cell, widths[line]![column] ?? 0)).join('')).join('\n');
}

function setWidths(lines: readonly (readonly string[])[], column: number, widths: number[][], leastWidth: number): void {
  const hasCell = (line: number) => (lines[line]?.length ?? 0) > column + 1;
  for (let from = 0; from < lines.length; from++) {
    if (!hasCell(from)) continue;
    let end = from;
    let width = 0;
    for (; hasCell(end); end++) width = Math.max(width, widthOf(lines[end]![column]!));
    for (let line = from; line < end; line++) widths[line]![column] = Math.max(leastWidth, width + PADDING);
    from = end;
  }
}

function pad(cell: string, width: number): string {
  return cell + ' '.repeat(Math.max(0, width - widthOf(cell)));
}
