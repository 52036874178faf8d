// Heredocs: the words of a line that announce one, and their bodies (BuildKit: parser/parser.go, heredocFromMatch).

import { dockerfileError } from './errors.ts';
import { trimLineEnd } from './lines.ts';
import { type Environment, expand } from './words.ts';

export interface Heredoc {
  readonly name: string;
  /** Whether variables in the body are expanded: no part of the word was quoted. */
  readonly expand: boolean;
  /** `<<-`: leading tabs are dropped. */
  readonly chomp: boolean;
  /** The body as it stands in the file, tabs included. */
  readonly content: string;
}

const nothing: Environment = new Map();

/** What `word` announces (`<<EOF`, `3<<-'X'`); its content is still empty. */
export function parseHeredocWord(word: string): Heredoc | undefined {
  const match = /^\d*<<(?<chomp>-?)\s*(?<name>[^<]*)$/su.exec(word);
  if (match?.groups === undefined || match.groups.name === '') return undefined;
  const options = { escapeToken: '\\', keepUnset: true } as const;
  const { words } = expand(match.groups.name!, nothing, options);
  const [name] = words;
  if (name === undefined || words.length !== 1) return undefined;
  // Quotes that are there before lexing and gone after it were syntax: the word is quoted.
  const [raw] = expand(match.groups.name!, nothing, { ...options, rawQuotes: true }).words;
  return { name, expand: countQuotes(name) === countQuotes(raw ?? ''), chomp: match.groups.chomp === '-', content: '' };
}

/** All heredocs that a line announces, in order. */
export function findHeredocs(line: string): Heredoc[] {
  let words: readonly string[];
  try {
    ({ words } = expand(line, nothing, { escapeToken: '\\', rawQuotes: true, rawEscapes: true, keepUnset: true }));
  } catch {
    // A line that is no shell text (an odd quote in RUN) announces none.
    return [];
  }
  return words.map(parseHeredocWord).filter((heredoc) => heredoc !== undefined);
}

/** Reads the bodies that follow from line `start` on; `end` is the line after the last terminator. */
export function readBodies(
  heredocs: readonly Heredoc[],
  lines: readonly string[],
  start: number,
): { heredocs: Heredoc[]; end: number } {
  let end = start;
  const read = heredocs.map((heredoc) => {
    const content: string[] = [];
    for (;;) {
      const line = lines[end++];
      if (line === undefined) throw dockerfileError('heredoc', 'unterminated heredoc');
      const bare = trimLineEnd(line);
      if ((heredoc.chomp ? bare.replace(/^\t+/, '') : bare) === heredoc.name) break;
      content.push(line);
    }
    return { ...heredoc, content: content.join('') };
  });
  return { heredocs: read, end };
}

/** The body as the instruction gets it. */
export function bodyOf(heredoc: Heredoc): string {
  return heredoc.chomp ? heredoc.content.replace(/^\t+/gm, '') : heredoc.content;
}

const countQuotes = (word: string): number => word.match(/['"]/g)?.length ?? 0;
