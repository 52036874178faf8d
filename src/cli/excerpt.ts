// The part of a Dockerfile that an error is about, laid out as BuildKit prints it (solver/errdefs/source.go), with a caret. Pure.

import type { Location } from '../base/errors.ts';
import { cutToWidth, oneLine, widthOf } from './text.ts';

/** Lines of an instruction shown before the rest is left out. */
const shownLinesMax = 20;
const rule = '--------------------';

/** `hasCaret`: not where the whole instruction is meant. */
export function excerptLines({ file, text, range }: Location, columns = Number.POSITIVE_INFINITY, hasCaret = true): string[] {
  const source = text.split(/\r?\n/);
  if (source.at(-1) === '' && source.length > 1) source.pop();
  // An error at the end of the file stands on its last line.
  const first = Math.min(Math.max(range.startLine, 1), source.length);
  const last = Math.min(Math.max(range.endLine, first), source.length, first + shownLinesMax - 1);
  const around = first === last ? 2 : 1;
  const lines = [`${oneLine(file)}:${first}`, rule];
  for (let number = Math.max(1, first - around); number <= Math.min(source.length, last + around); number++) {
    const isMarked = number >= first && number <= last;
    const prefix = ` ${String(number).padStart(3)} | ${isMarked ? '>>>' : '   '} `;
    lines.push(cutToWidth(prefix + oneLine(source[number - 1]!), columns).trimEnd());
    if (hasCaret && number === range.startLine && number === range.endLine) {
      const caret = caretLine(source[number - 1]!, range.startColumn, range.endColumn, prefix.length);
      if (caret !== undefined) lines.push(cutToWidth(caret, columns));
    }
  }
  if (last < Math.min(range.endLine, source.length)) lines.push(`     | >>> … to line ${range.endLine}`);
  return [...lines, rule];
}

function caretLine(line: string, start: number, end: number, indent: number): string | undefined {
  const before = widthOf(oneLine(line.slice(0, start)));
  const width = Math.max(1, widthOf(oneLine(line.slice(start, end))));
  if (start >= line.length) return undefined;
  return `${'     |'.padEnd(indent)}${' '.repeat(before)}${'^'.repeat(width)}`;
}
