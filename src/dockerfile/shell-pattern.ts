// The patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*` and `?` alone, brackets are literal (BuildKit: shell/lex.go,
// convertShellPatternToRegex). Matched without backtracking; what would still take long, a search for a long pattern from every place of
// a long value, is refused.

import { dockerfileError } from './errors.ts';

type Token = { readonly any: 'one' | 'many' } | { readonly literal: string };

export interface ShellPattern {
  readonly tokens: readonly Token[];
}

export function parseShellPattern(pattern: string): ShellPattern {
  const characters = Array.from(pattern);
  const tokens: Token[] = [];
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i]!;
    if (character === '*') tokens.push({ any: 'many' });
    else if (character === '?') tokens.push({ any: 'one' });
    else if (character !== '\\') tokens.push({ literal: character });
    else {
      const next = characters[++i];
      // `\}` and `\/` embed the delimiters of ${}.
      if (next === undefined || !'*?\\}/'.includes(next)) {
        throw dockerfileError(
          'substitution',
          `invalid pattern (${pattern}) in substitution: invalid escape '\\${next ?? '\ufffd'}'`,
        );
      }
      tokens.push({ literal: next });
    }
  }
  return { tokens };
}

export function trimPrefix(value: string, pattern: ShellPattern, longest: boolean): string {
  const characters = Array.from(value);
  const end = matchAt(characters, 0, pattern, longest, new Work());
  return end === undefined ? value : characters.slice(end).join('');
}

export function trimSuffix(value: string, pattern: ShellPattern, longest: boolean): string {
  const characters = Array.from(value).reverse();
  const end = matchAt(characters, 0, { tokens: pattern.tokens.toReversed() }, longest, new Work());
  return end === undefined ? value : characters.slice(end).reverse().join('');
}

export function replaceFirst(value: string, pattern: ShellPattern, replacement: string): string {
  const characters = Array.from(value);
  const found = search(characters, 0, pattern, new Work());
  if (found === undefined) return value;
  return characters.slice(0, found.start).join('') + replacement + characters.slice(found.end).join('');
}

/** As Go's ReplaceAllString: an empty match right after a match is none, and the replacement is a template. */
export function replaceAll(value: string, pattern: ShellPattern, replacement: string): string {
  const characters = Array.from(value);
  const work = new Work();
  let result = '';
  let copied = 0;
  let from = 0;
  while (from <= characters.length) {
    const found = search(characters, from, pattern, work);
    if (found === undefined) break;
    result += characters.slice(copied, found.start).join('');
    if (found.end > copied || found.start === 0) {
      result += fillTemplate(replacement, characters.slice(found.start, found.end).join(''));
    }
    copied = found.end;
    from = Math.max(found.end, from + 1);
  }
  return result + characters.slice(copied).join('');
}

/** `$0` and `${0}` are the match, any other group is empty, for these patterns have none; `$$` is a dollar (Go: regexp, Expand). */
function fillTemplate(template: string, match: string): string {
  return template.replace(/\$(?:\$|\{([\p{L}\p{Nd}_]+)\}|([\p{L}\p{Nd}_]+))/gu, (text, braced?: string, plain?: string) => {
    if (text === '$$') return '$';
    return (braced ?? plain) === '0' ? match : '';
  });
}

/** How much a match has taken; a second at most. */
class Work {
  private left = 10_000_000;

  spend(steps: number): void {
    this.left -= steps;
    if (this.left < 0) throw dockerfileError('substitution', 'the pattern takes too long to match');
  }
}

function search(
  characters: readonly string[],
  from: number,
  pattern: ShellPattern,
  work: Work,
): { start: number; end: number } | undefined {
  for (let start = from; start <= characters.length; start++) {
    const end = matchAt(characters, start, pattern, true, work);
    if (end !== undefined) return { start, end };
  }
  return undefined;
}

/** Where the shortest or longest match that begins at `start` ends: a walk over the set of places in the pattern. */
function matchAt(
  characters: readonly string[],
  start: number,
  pattern: ShellPattern,
  longest: boolean,
  work: Work,
): number | undefined {
  const { tokens } = pattern;
  let places = closure(new Set([0]), tokens);
  let end: number | undefined;
  for (let i = start; places.size > 0; i++) {
    if (places.has(tokens.length)) {
      end = i;
      if (!longest) break;
    }
    const character = characters[i];
    if (character === undefined) break;
    work.spend(places.size);
    const next = new Set<number>();
    for (const place of places) {
      const token = tokens[place];
      if (token === undefined) continue;
      if ('literal' in token) {
        if (token.literal === character) next.add(place + 1);
      } else if (character !== '\n') {
        next.add(token.any === 'one' ? place + 1 : place);
      }
    }
    places = closure(next, tokens);
  }
  return end;
}

/** `*` may stand for nothing: the place after it is reached with it. */
function closure(places: Set<number>, tokens: readonly Token[]): Set<number> {
  for (const place of places) {
    const token = tokens[place];
    if (token !== undefined && 'any' in token && token.any === 'many') places.add(place + 1);
  }
  return places;
}
