// The part of a Dockerfile that an error is about, laid out as BuildKit prints it (solver/errdefs/source.go), with a caret. Pure.

import type { Location } from '../base/errors.ts';
import { cutToWidth, oneLine, widthOf } from './text.ts';

/** Lines of an instruction shown before the rest is left out. */
const shownLinesMax = 20;
const rule = '--------------------';

/** Where no terminal says how wide it is; a line of a Dockerfile may have 65,535 bytes. */
const widthMax = 400;

/** `isExact`: not where the whole instruction is meant. */
export function excerptLines({ file, text, range }: Location, columns = widthMax, isExact = true): string[] {
  const source = linesOf(text);
  // An error at the end of the file stands on its last line.
  const first = Math.min(Math.max(range.startLine, 1), source.length);
  const last = Math.min(Math.max(range.endLine, first), source.length, first + shownLinesMax - 1);
  const around = first === last ? 2 : 1;
  const lines = [`${oneLine(file)}:${first}`, rule];
  for (let number = Math.max(1, first - around); number <= Math.min(source.length, last + around); number++) {
    const isMarked = number >= first && number <= last;
    const prefix = ` ${String(number).padStart(3)} | ${isMarked ? '>>>' : '   '} `;
    const hasCaret = isExact && number === range.startLine && number === range.endLine;
    const skipped = hasCaret ? skipTo(source[number - 1]!, range, columns - prefix.length) : 0;
    const line = (skipped > 0 ? '…' : '') + source[number - 1]!.slice(skipped);
    lines.push(cutToWidth(prefix + oneLine(line), columns).trimEnd());
    if (!hasCaret) continue;
    const shift = skipped > 0 ? skipped - 1 : 0;
    const caret = caretLine(line, range.startColumn - shift, range.endColumn - shift, prefix.length);
    if (caret !== undefined) lines.push(cutToWidth(caret, columns));
  }
  if (last < Math.min(range.endLine, source.length)) lines.push(`     | >>> … to line ${range.endLine}`);
  return [...lines, rule];
}

/** How much of the line's beginning is left out, so that what is marked is among the columns that are shown. */
function skipTo(line: string, { startColumn, endColumn }: Location['range'], columns: number): number {
  if (widthOf(oneLine(line.slice(0, endColumn))) <= columns) return 0;
  return Math.max(0, Math.min(startColumn, endColumn - columns) - Math.floor(columns / 4));
}

/** Kept for the next excerpt: it is mostly of the same file, and may be one of thousands. */
let split = { text: '', lines: [''] };

function linesOf(text: string): readonly string[] {
  if (split.text === text) return split.lines;
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === '' && lines.length > 1) lines.pop();
  split = { text, lines };
  return lines;
}

function caretLine(line: string, start: number, end: number, indent: number): string | undefined {
  const before = widthOf(oneLine(line.slice(0, start)));
  const width = Math.max(1, widthOf(oneLine(line.slice(start, end))));
  if (start >= line.length) return undefined;
  return `${'     |'.padEnd(indent)}${' '.repeat(before)}${'^'.repeat(width)}`;
}
