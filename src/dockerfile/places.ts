// Where the parts of one instruction stand in the file: its flags, its arguments, parts of these, bodies of heredocs. All is worked out
// when it is asked for, which is when something is wrong or shown.

import type { Location, SourceRange } from '../base/errors.ts';
import { readFlag } from './arguments.ts';
import type { Place, Span } from './errors.ts';
import type { Heredoc } from './heredoc.ts';
import type { Piece } from './lines.ts';

/** What `Places` answers from; a node has it all. */
export interface Written {
  /** The joined text, which spans are of, and what it was joined from. */
  readonly original: string;
  readonly pieces: readonly Piece[];
  readonly flags: readonly string[];
  readonly flagSpans: readonly Span[];
  readonly args: readonly string[];
  readonly argSpans: readonly Span[];
  readonly heredocs: readonly Heredoc[];
  readonly where: Location;
}

export class Places {
  /** The whole instruction. */
  readonly whole: Place;
  private readonly written: Written;

  constructor(written: Written) {
    this.written = written;
    this.whole = () => written.where;
  }

  /** For an instruction that stands in no file: an ONBUILD of an image stands where that image is named. */
  static all(where: Location): Places {
    return new Places({ original: '', pieces: [], flags: [], flagSpans: [], args: [], argSpans: [], heredocs: [], where });
  }

  argument(index: number): Place {
    const { args, argSpans } = this.written;
    return (part) => this.word(args[index], argSpans[index], part);
  }

  /** The argument that reads so. */
  argumentReading(text: string): Place {
    return (part) => this.argument(this.written.args.indexOf(text))(part);
  }

  lastArgument(): Place {
    return this.argument(this.written.args.length - 1);
  }

  /** All arguments together. */
  arguments(): Place {
    const { argSpans } = this.written;
    const [first, last] = [argSpans[0], argSpans.at(-1)];
    return first === undefined || last === undefined ? this.whole : () => this.at({ start: first.start, end: last.end });
  }

  /** A flag as it is written, by its position. */
  flag(index: number): Place {
    const { flags, flagSpans } = this.written;
    return (part) => this.word(flags[index], flagSpans[index], part);
  }

  /** The value of the flag of that name, of the `nth` where there are several. */
  flagValue(name: string, nth = 0): Place {
    return (part) => {
      const { flags } = this.written;
      const isNamed = (flag: string) => flag === `--${name}` || flag.startsWith(`--${name}=`);
      const index = [...flags.keys()].filter((i) => isNamed(flags[i]!))[nth] ?? -1;
      const start = name.length + 3;
      const end = Math.max(start, flags[index]?.length ?? 0);
      return this.flag(index)(part ? { start: start + part.start, end: start + part.end } : { start, end });
    };
  }

  /** The body of the last heredoc of that name; parts are of the body as it stands in the file. */
  heredoc(name: string): Place {
    const heredoc = this.written.heredocs.findLast((one) => one.name === name);
    if (heredoc === undefined) return this.whole;
    return (part) => this.inFile(bodyRange(heredoc, part));
  }

  /** A part of the joined text. */
  at(part: Span): Location {
    const { pieces, where } = this.written;
    return pieces.length === 0 ? where : placeIn(pieces, part, where);
  }

  private inFile(range: SourceRange): Location {
    const { file, text } = this.written.where;
    return { file, text, range };
  }

  /** `text`: what was made of what stands at `span`. */
  private word(text: string | undefined, span: Span | undefined, part: Span | undefined): Location {
    if (text === undefined || span === undefined) return this.whole();
    return this.at((part && narrow(this.written.original, text, span, part)) ?? span);
  }
}

/** Where a part of the text joined from `pieces` stands. */
export function placeIn(pieces: readonly Piece[], { start, end }: Span, { file, text }: Location): Location {
  const position = (offset: number) => {
    const piece = pieces.findLast((one) => one.offset <= offset)!;
    return { line: piece.line + 1, column: piece.column + offset - piece.offset };
  };
  const from = position(start);
  // The end is behind the last character, not where the next line begins.
  const last = end > start ? position(end - 1) : { ...from, column: from.column - 1 };
  const range = { startLine: from.line, startColumn: from.column, endLine: last.line, endColumn: last.column + 1 };
  return { file, text, range };
}

/** Where a part of a word stands, its quotes and escapes being gone; undefined where that cannot be told. */
function narrow(original: string, text: string, { start, end }: Span, part: Span): Span | undefined {
  const raw = original.slice(start, end);
  if (raw.startsWith(text)) return { start: start + part.start, end: start + part.end };
  if (raw.slice(1).startsWith(text)) return { start: start + 1 + part.start, end: start + 1 + part.end };
  const offsets: number[] = [];
  if (readFlag(raw, 0, offsets).value !== text) return undefined;
  const [from, to] = [offsets[part.start], offsets[part.end - 1]];
  return from === undefined || to === undefined ? undefined : { start: start + from, end: start + to + 1 };
}

/** Lines of the body, or those of a part of it. */
export function bodyRange({ content, startLine, endLine, chomp }: Heredoc, part?: Span): SourceRange {
  // Without its tabs the body is another text than the file's.
  if (part === undefined || chomp) return { startLine, startColumn: 0, endLine, endColumn: 0 };
  const position = (offset: number) => {
    const before = content.slice(0, offset);
    const lineStart = before.lastIndexOf('\n') + 1;
    return { line: startLine + (before.match(/\n/g)?.length ?? 0), column: offset - lineStart };
  };
  const [from, to] = [position(part.start), position(part.end)];
  return { startLine: from.line, startColumn: from.column, endLine: to.line, endColumn: to.column };
}
