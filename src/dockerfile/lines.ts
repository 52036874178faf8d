// A Dockerfile's text as lines, and lines as instructions: which line continues, which is a comment inside a
// continuation (BuildKit: parser/parser.go). Knows nothing of what instructions say.

import { dockerfileError, type Place } from './errors.ts';
import { trimStart } from './go-text.ts';
import type { Escape } from './words.ts';

/** Go's bufio.Scanner takes no longer line. */
const maxLineBytes = 65_535;

/** One instruction's own lines, joined; bodies of heredocs are not among them. Line numbers from 0, the end exclusive. */
export interface LogicalLine {
  readonly text: string;
  readonly start: number;
  readonly end: number;
  readonly hasBlankLine: boolean;
  /** Where the pieces that `text` was joined from stand. */
  readonly pieces: readonly Piece[];
}

/** From `offset` of the joined text on, it is what stands in `line` from `column` on. */
export interface Piece {
  readonly offset: number;
  readonly line: number;
  readonly column: number;
}

/** UTF-8, without a byte order mark. */
export function decodeText(text: string | Uint8Array): string {
  const decoded = typeof text === 'string' ? text : new TextDecoder('utf-8', { ignoreBOM: true }).decode(text);
  return decoded.startsWith('\ufeff') ? decoded.slice(1) : decoded;
}

/** Lines with their ends as they are. */
export function splitLines(text: string): string[] {
  const lines = text.split('\n').map((line) => `${line}\n`);
  const last = lines.pop()!.slice(0, -1);
  if (last !== '') lines.push(last);
  return lines;
}

export function checkLineLength(line: string, place: Place): void {
  // No UTF-16 unit takes more than three bytes.
  if (line.length * 3 <= maxLineBytes) return;
  if (Buffer.byteLength(line.endsWith('\n') ? line.slice(0, -1) : line) > maxLineBytes) {
    throw dockerfileError('long-line', `dockerfile line greater than max allowed size of ${maxLineBytes}`, place);
  }
}

export function trimLineEnd(line: string): string {
  let end = line.length;
  while (end > 0 && (line[end - 1] === '\n' || line[end - 1] === '\r')) end--;
  return line.slice(0, end);
}

export const isComment = (line: string): boolean => trimStart(line).startsWith('#');
const isBlank = (line: string): boolean => trimStart(line) === '';

/** The instruction that begins at `start`; undefined where there is none (a blank line, a comment). */
export function readLogicalLine(lines: readonly string[], start: number, escapeToken: Escape): LogicalLine | undefined {
  if (isComment(lines[start]!)) return undefined;
  const bare = trimLineEnd(lines[start]!);
  const trimmed = trimStart(bare);
  const first = splitContinuation(trimmed, escapeToken);
  if (!first.continues && first.text === '') return undefined;
  let { text, continues } = first;
  const pieces: Piece[] = [{ offset: 0, line: start, column: bare.length - trimmed.length }];
  let hasBlankLine = false;
  let end = start + 1;
  for (; continues && end < lines.length; end++) {
    const line = trimLineEnd(lines[end]!);
    if (isComment(line)) continue;
    if (isBlank(line)) {
      hasBlankLine = true;
      continue;
    }
    const next = splitContinuation(line, escapeToken);
    pieces.push({ offset: text.length, line: end, column: 0 });
    text += next.text;
    continues = next.continues;
  }
  return { text, start, end, hasBlankLine, pieces };
}

const continuations: Readonly<Record<Escape, RegExp>> = {
  '\\': /^(?<text>|.*[^\\])\\[ \t]*$/su,
  '`': /^(?<text>|.*[^`])`[ \t]*$/su,
};

/** An escape character at the end continues, blanks after it or not; one that is itself escaped does not. */
export function splitContinuation(line: string, escapeToken: Escape): { text: string; continues: boolean } {
  const text = continuations[escapeToken].exec(line)?.groups?.text;
  return text === undefined ? { text: line, continues: false } : { text, continues: true };
}
