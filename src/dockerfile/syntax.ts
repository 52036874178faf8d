// Text → nodes: one for each instruction, with its place, its comments and its heredocs. Syntax only; what an
// instruction means is parse.ts. Line ends, continuations and heredocs follow BuildKit's rules (lines.ts, heredoc.ts);
// dockerfile-ast then finds ranges in a copy where it can see no other boundaries than those; it is loaded when something
// asks for one, for a build in which all is well never does.

import { createRequire } from 'node:module';
import { assert, type Location, type SourceRange } from '../base/errors.ts';
import { type Command, readCommand } from './arguments.ts';
import { type Directives, readDirectives } from './directives.ts';
import { dockerfileError, locate, type Place } from './errors.ts';
import { plainSpaces, trimSpace, trimStart } from './go-text.ts';
import { findHeredocs, type Heredoc, readBodies } from './heredoc.ts';
import {
  checkLineLength,
  decodeText,
  isComment,
  type LogicalLine,
  type Piece,
  readLogicalLine,
  splitContinuation,
  splitLines,
  trimLineEnd,
} from './lines.ts';
import { Places, placeIn } from './places.ts';
import type { Escape } from './words.ts';

export interface Node extends Command {
  /** The instruction's text, lines joined, bodies of heredocs left out. */
  readonly original: string;
  /** Where the lines of it stand. */
  readonly pieces: readonly Piece[];
  readonly heredocs: readonly Heredoc[];
  /** The whole instruction, heredocs included. */
  readonly where: Location;
  readonly keywordRange: SourceRange;
  /** Of its flags, arguments and heredocs. */
  readonly places: Places;
  /** The comment lines directly above it, without `#`. */
  readonly comments: readonly string[];
  readonly hasBlankLine: boolean;
}

export interface SyntaxTree {
  readonly text: string;
  readonly directives: Directives;
  readonly nodes: readonly Node[];
}

/** A node before it has its ranges. `end` is exclusive, heredocs included. */
interface Unplaced {
  readonly line: LogicalLine;
  readonly command: Command;
  readonly heredocs: readonly Heredoc[];
  readonly end: number;
}

export function parseSyntax(source: string | Uint8Array, file: string): SyntaxTree {
  if (source.length > maxBytes) throw dockerfileError('too-large', `the Dockerfile ${file} has more than ${maxBytes} bytes`);
  const text = decodeText(source);
  const lines = splitLines(text);
  const place = (start: number, end: number): Location => ({ file, text, range: linesRange(lines, start, end) });
  if (text === '') throw dockerfileError('empty', 'the Dockerfile cannot be empty', place(0, 1));
  for (const [index, line] of lines.entries()) checkLineLength(line, () => place(index, index + 1));
  const directives = readDirectives(lines, (index) => place(index, index + 1));
  const unplaced = readInstructions(lines, directives, place);
  if (unplaced.length === 0) throw dockerfileError('no-instructions', 'file with no instructions', place(0, lines.length));
  return { text, directives, nodes: placeNodes(unplaced, lines, directives, { file, text }) };
}

function readInstructions(
  lines: readonly string[],
  { escapeToken, lineCount }: Directives,
  place: (start: number, end: number) => Location,
): Unplaced[] {
  const nodes: Unplaced[] = [];
  for (let i = lineCount; i < lines.length; ) {
    const line = readLogicalLine(lines, i, escapeToken);
    if (line === undefined) {
      i++;
      continue;
    }
    if (nodes.length === maxInstructions) {
      throw dockerfileError('too-large', `the Dockerfile has more than ${maxInstructions} instructions`, place(i, line.end));
    }
    const node = locate(partsOf(line, place), () => {
      const command = readCommand(line.text, escapeToken);
      const announced = canHoldHeredocs(command) && line.text.includes('<<') ? findHeredocs(line.text) : [];
      return { line, command, ...readBodies(announced, line, lines) };
    });
    nodes.push(node);
    i = node.end;
  }
  return nodes;
}

/** Beyond what anyone writes or generates, and a few seconds to read. */
const maxInstructions = 200_000;
/** What BuildKit's parts hand each other at most. */
const maxBytes = 16 * 1024 * 1024;

/** A line that is no node yet. */
function partsOf(line: LogicalLine, place: (start: number, end: number) => Location): Place {
  const where = place(line.start, line.end);
  return (part) => (part === undefined ? where : placeIn(line.pieces, part, where));
}

function canHoldHeredocs(command: Command): boolean {
  const { keyword, json } = command.trigger ?? command;
  return !json && /^(?:add|copy|run)$/i.test(keyword);
}

interface Placed {
  readonly range: SourceRange;
  readonly keywordRange: SourceRange;
}

function placeNodes(
  unplaced: readonly Unplaced[],
  lines: readonly string[],
  directives: Directives,
  source: { file: string; text: string },
): Node[] {
  let all: readonly Placed[] | undefined;
  const placed = (index: number): Placed => {
    all ??= findPlaces(unplaced, lines, directives);
    return all[index]!;
  };
  return unplaced.map(({ line, command, heredocs }, index): Node => {
    const { text: original, pieces, hasBlankLine } = line;
    const where = {
      ...source,
      get range() {
        return placed(index).range;
      },
    };
    return {
      ...command,
      original,
      pieces,
      heredocs,
      hasBlankLine,
      comments: commentsAbove(lines, line.start, Math.max(directives.lineCount, unplaced[index - 1]?.end ?? 0)),
      where,
      get keywordRange() {
        return placed(index).keywordRange;
      },
      get places() {
        return new Places(this);
      },
    };
  });
}

/** What a blank line or an empty comment parts from the instruction is not about it. `start`: where the instruction above ends. */
function commentsAbove(lines: readonly string[], line: number, start: number): string[] {
  const comments: string[] = [];
  for (let i = line - 1; i >= start && isComment(lines[i]!); i--) {
    const text = trimSpace(trimStart(lines[i]!).slice(1));
    if (text === '') break;
    comments.push(text);
  }
  return comments.reverse();
}

function findPlaces(unplaced: readonly Unplaced[], lines: readonly string[], { escapeToken }: Directives): Placed[] {
  const { DockerfileParser } = createRequire(import.meta.filename)('dockerfile-ast') as typeof import('dockerfile-ast');
  const outline = DockerfileParser.parse(maskText(unplaced, lines, escapeToken));
  const instructions = outline.getInstructions();
  const written = unplaced.filter(({ line }) => trimSpace(line.text) !== '');
  assert(instructions.length === written.length, `dockerfile-ast sees ${instructions.length} of ${written.length} instructions`);

  let nextInstruction = 0;
  return unplaced.map(({ line, end }) => {
    const instruction = trimSpace(line.text) === '' ? undefined : instructions[nextInstruction++]!;
    const range = linesRange(lines, line.start, end);
    const start = instruction?.getRange().start;
    return {
      range: { ...range, startColumn: start?.line === line.start + maskHeader ? start.character : 0 },
      keywordRange: instruction === undefined ? range : toSourceRange(instruction.getInstructionRange()),
    };
  });
}

/** The lines that `maskText` puts before the text: the escape directive, and a blank one that ends the directives. */
const maskHeader = 2;

/**
 * The text with the same lines and columns, in which dockerfile-ast finds BuildKit's boundaries: no heredoc bodies or
 * marks, no escape character but where a line continues, no comments, blanks of ASCII only.
 */
function maskText(unplaced: readonly Unplaced[], lines: readonly string[], escapeToken: Escape): string {
  const masked = lines.map(() => '');
  for (const { line } of unplaced) {
    let hasBegun = false;
    for (let i = line.start; i < line.end; i++) {
      const text = trimLineEnd(lines[i]!);
      if (isComment(text)) continue;
      const { text: content, continues } = splitContinuation(text, escapeToken);
      hasBegun ||= trimSpace(content) !== '';
      // Nothing of the instruction yet: to dockerfile-ast it begins where its keyword does.
      if (!hasBegun) continue;
      const quiet = plainSpaces(content.replaceAll(escapeToken, 'x').replaceAll('<', 'x'));
      masked[i] = continues ? quiet + escapeToken : quiet;
    }
  }
  return `#escape=${escapeToken}\n\n${masked.join('\n')}`;
}

function toSourceRange(range: {
  start: { line: number; character: number };
  end: { line: number; character: number };
}): SourceRange {
  return {
    startLine: range.start.line - maskHeader + 1,
    startColumn: range.start.character,
    endLine: range.end.line - maskHeader + 1,
    endColumn: range.end.character,
  };
}

/** Lines from `start` to `end` (exclusive, from 0) as a range. */
function linesRange(lines: readonly string[], start: number, end: number): SourceRange {
  const last = Math.max(start, Math.min(end, lines.length) - 1);
  return {
    startLine: start + 1,
    startColumn: 0,
    endLine: last + 1,
    endColumn: trimLineEnd(lines[last] ?? '').length,
  };
}
