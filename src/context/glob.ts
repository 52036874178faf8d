// Go's filepath.Match, which chooses the sources of COPY and ADD: `*` and `?` stop at slashes, `[…]` has Go's rules
// (no `!`, a stray `-` or `]` is an error), there is no `**`. Linear in pattern and name, whatever they are.

interface CharacterClass {
  readonly negated: boolean;
  readonly ranges: readonly (readonly [low: string, high: string])[];
}

/** What takes one character. */
export type CharacterToken = 'one' | { readonly literal: string } | CharacterClass;
type Token = 'many' | CharacterToken;

export interface Glob {
  readonly tokens: readonly Token[];
}

/** Undefined: the pattern is malformed. */
export function parseGlob(pattern: string): Glob | undefined {
  const characters = Array.from(pattern);
  const tokens: Token[] = [];
  for (let i = 0; i < characters.length; ) {
    const character = characters[i]!;
    if (character === '[') {
      const parsed = parseClass(characters, i + 1);
      if (parsed === undefined) return undefined;
      tokens.push(parsed.token);
      i = parsed.end;
    } else if (character === '\\') {
      const escaped = characters[i + 1];
      if (escaped === undefined) return undefined;
      tokens.push({ literal: escaped });
      i += 2;
    } else {
      tokens.push(character === '*' ? 'many' : character === '?' ? 'one' : { literal: character });
      i++;
    }
  }
  return { tokens };
}

/** Whether COPY looks for matches, or takes the name as it is (BuildKit: containsWildcards). */
export function hasWildcards(name: string): boolean {
  return /[*?[]/.test(name.replaceAll(/\\./gsu, ''));
}

export function matchesGlob(glob: Glob, name: string): boolean {
  const characters = Array.from(name);
  const { tokens } = glob;
  let place = 0;
  let position = 0;
  // Where to go on when what follows the last `*` did not fit: it takes one character more.
  let retryPlace = -1;
  let retryPosition = 0;
  while (place < tokens.length || position < characters.length) {
    const token = tokens[place];
    if (token === 'many') {
      retryPlace = place++;
      retryPosition = position;
      continue;
    }
    const character = characters[position];
    if (token !== undefined && character !== undefined && acceptsCharacter(token, character)) {
      place++;
      position++;
      continue;
    }
    const skipped = characters[retryPosition];
    if (retryPlace < 0 || skipped === undefined || skipped === '/') return false;
    position = ++retryPosition;
    place = retryPlace + 1;
  }
  return true;
}

export function acceptsCharacter(token: CharacterToken, character: string): boolean {
  if (token === 'one') return character !== '/';
  if ('literal' in token) return token.literal === character;
  return token.ranges.some(([low, high]) => compare(low, character) <= 0 && compare(character, high) <= 0) !== token.negated;
}

const compare = (a: string, b: string): number => a.codePointAt(0)! - b.codePointAt(0)!;

function parseClass(characters: readonly string[], start: number): { token: CharacterClass; end: number } | undefined {
  let i = start;
  const negated = characters[i] === '^';
  if (negated) i++;
  const ranges: [string, string][] = [];
  for (;;) {
    if (characters[i] === ']' && ranges.length > 0) return { token: { negated, ranges }, end: i + 1 };
    const low = parseMember(characters, i);
    if (low === undefined) return undefined;
    i = low.end;
    let high = low;
    if (characters[i] === '-') {
      const member = parseMember(characters, i + 1);
      if (member === undefined) return undefined;
      high = member;
      i = high.end;
    }
    ranges.push([low.character, high.character]);
  }
}

/** One character of a class; it cannot be the last of the pattern. */
function parseMember(characters: readonly string[], start: number): { character: string; end: number } | undefined {
  const first = characters[start];
  if (first === undefined || first === '-' || first === ']') return undefined;
  const at = first === '\\' ? start + 1 : start;
  const character = characters[at];
  return character === undefined || at + 1 >= characters.length ? undefined : { character, end: at + 1 };
}
