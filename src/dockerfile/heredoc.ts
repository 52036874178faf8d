// Heredocs: the words of a line that announce one, and their bodies (BuildKit: parser/parser.go, heredocFromMatch).

import type { TbuildError } from '../base/errors.ts';
import { dockerfileError, setPart } from './errors.ts';
import { type LogicalLine, trimLineEnd } from './lines.ts';
import { type Environment, expand } from './words.ts';

/** What a word announces. */
export interface HeredocWord {
  readonly name: string;
  /** Whether variables in the body are expanded: no part of the word was quoted. */
  readonly expand: boolean;
  /** `<<-`: leading tabs are dropped. */
  readonly chomp: boolean;
}

export interface Heredoc extends HeredocWord {
  /** The body as it stands in the file, tabs included. */
  readonly content: string;
  /** Its first line, and that of the terminator, from 1. */
  readonly startLine: number;
  readonly endLine: number;
}

const nothing: Environment = new Map();

/** What `word` announces (`<<EOF`, `3<<-'X'`). */
export function parseHeredocWord(word: string): HeredocWord | undefined {
  const match = /^\d*<<(?<chomp>-?)\s*(?<name>[^<]*)$/su.exec(word);
  if (match?.groups === undefined || match.groups.name === '') return undefined;
  const options = { escapeToken: '\\', keepUnset: true } as const;
  const { words } = expand(match.groups.name!, nothing, options);
  const [name] = words;
  if (name === undefined || words.length !== 1) return undefined;
  // Quotes that are there before lexing and gone after it were syntax: the word is quoted.
  const [raw] = expand(match.groups.name!, nothing, { ...options, rawQuotes: true }).words;
  return { name, expand: countQuotes(name) === countQuotes(raw ?? ''), chomp: match.groups.chomp === '-' };
}

/** All heredocs that a line announces, in order. */
export function findHeredocs(line: string): HeredocWord[] {
  let words: readonly string[];
  try {
    ({ words } = expand(line, nothing, { escapeToken: '\\', rawQuotes: true, rawEscapes: true, keepUnset: true }));
  } catch {
    // A line that is no shell text (an odd quote in RUN) announces none.
    return [];
  }
  return words.map(parseHeredocWord).filter((heredoc) => heredoc !== undefined);
}

/** Reads the bodies that follow the line; `end` is the line after the last terminator. */
export function readBodies(
  heredocs: readonly HeredocWord[],
  line: LogicalLine,
  lines: readonly string[],
): { heredocs: Heredoc[]; end: number } {
  let { end } = line;
  const read = heredocs.map((heredoc) => {
    const content: string[] = [];
    const startLine = end + 1;
    for (;;) {
      const next = lines[end++];
      if (next === undefined) throw unterminated(heredoc, line.text);
      const bare = trimLineEnd(next);
      if ((heredoc.chomp ? bare.replace(/^\t+/, '') : bare) === heredoc.name) break;
      content.push(next);
    }
    return { ...heredoc, content: content.join(''), startLine, endLine: end };
  });
  return { heredocs: read, end };
}

function unterminated({ name }: HeredocWord, line: string): TbuildError {
  const error = dockerfileError('heredoc', 'unterminated heredoc', undefined, `no line that follows is ${name} alone`);
  for (const { 0: word, index } of line.matchAll(/\d*<<-?\s*[^\s<]+/g)) {
    if (word.includes(name)) return setPart(error, { start: index, end: index + word.length });
  }
  return error;
}

/** The body as the instruction gets it. */
export function bodyOf(content: string, { chomp }: HeredocWord): string {
  return chomp ? content.replace(/^\t+/gm, '') : content;
}

const countQuotes = (word: string): number => word.match(/['"]/g)?.length ?? 0;
