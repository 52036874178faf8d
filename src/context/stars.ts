// Patterns of ignore files with many stars, matched without backtracking: the regular expression of such a pattern takes a power of the path's
// length, and who writes the pattern may choose the path. Time here is the product of the lengths. The meaning is that of moby/patternmatcher:
// `**` at the end is everything, before something else any number of whole directories; `*` and `?` stop at slashes.

import { acceptsCharacter, type CharacterToken, parseGlob } from './glob.ts';

/** `directories`: `(.*\/)?`, `all`: `.*`, `name`: `[^/]*`. */
type Token = 'directories' | 'all' | 'name' | CharacterToken;

/** How many stars a regular expression may have, and how many of them may be `**`: minimatch's (10.2) forgets the second of `a/**\/b/**\/c`. */
const starsMax = 2;
const directoriesMax = 1;

/** Undefined: so few stars that a regular expression is as good, or no pattern at all. */
export function manyStars(pattern: string): ((name: string) => boolean) | undefined {
  const tokens = readTokens(pattern);
  if (tokens === undefined) return undefined;
  const directories = tokens.filter((token) => token === 'directories').length;
  const stars = directories + tokens.filter((token) => token === 'all' || token === 'name').length;
  return stars <= starsMax && directories <= directoriesMax ? undefined : matchTokens(tokens);
}

export function readTokens(pattern: string): Token[] | undefined {
  const glob = parseGlob(pattern)?.tokens;
  if (glob === undefined) return undefined;
  const tokens: Token[] = [];
  for (let i = 0; i < glob.length; i++) {
    const token = glob[i]!;
    if (token !== 'many') tokens.push(token);
    else if (glob[i + 1] !== 'many') tokens.push('name');
    else {
      i++;
      const next = glob[i + 1];
      // The slash after `**` is part of it.
      if (typeof next === 'object' && 'literal' in next && next.literal === '/') i++;
      tokens.push(i + 1 === glob.length ? 'all' : 'directories');
    }
  }
  return tokens;
}

/** A walk over the set of places in the pattern. Place 2i is before token i, 2i + 1 inside directories. */
export function matchTokens(tokens: readonly Token[]): (name: string) => boolean {
  const end = 2 * tokens.length;
  let now = new Uint8Array(end + 2);
  let next = new Uint8Array(end + 2);
  /** All that may stand for nothing is stepped over. */
  const enter = (places: Uint8Array, from: number) => {
    for (let place = from; places[place] === 0; place += 2) {
      places[place] = 1;
      const token = tokens[place / 2];
      if (token === 'directories') places[place + 1] = 1;
      else if (token !== 'all' && token !== 'name') return;
    }
  };
  return (name) => {
    now.fill(0);
    enter(now, 0);
    for (const character of name) {
      next.fill(0);
      for (let place = 0; place < end; place++) {
        if (now[place] === 0) continue;
        const token = tokens[place >> 1]!;
        if ((place & 1) === 1) {
          next[place] = 1;
          if (character === '/') enter(next, place + 1);
        } else if (token === 'all' || (token === 'name' && character !== '/')) enter(next, place);
        else if (token !== 'name' && token !== 'directories' && acceptsCharacter(token, character)) enter(next, place + 2);
      }
      [now, next] = [next, now];
    }
    return now[end] === 1;
  };
}
