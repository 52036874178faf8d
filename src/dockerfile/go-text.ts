// What Go's unicode and strconv packages mean by space, letter and %q: BuildKit's answers depend on it, and JavaScript's
// own ideas differ (\s holds U+FEFF and lacks U+0085).

const space = '\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const oneSpace = new RegExp(`^[${space}]$`, 'u');
export const anySpace = new RegExp(`[${space}]`, 'u');
const leading = new RegExp(`^[${space}]+`, 'u');

export function isSpace(character: string): boolean {
  const code = character.charCodeAt(0);
  // Nearly every character is ASCII.
  return code < 0x85 ? code === 0x20 || (code >= 0x09 && code <= 0x0d) : oneSpace.test(character);
}

export const isLetter = (character: string): boolean => /^\p{L}$/u.test(character);
export const isDigit = (character: string): boolean => /^\p{Nd}$/u.test(character);

const eachSpace = new RegExp(`[${space}]`, 'gu');

/** Every space as an ASCII one; the length stays. */
export const plainSpaces = (text: string): string => text.replace(eachSpace, ' ');
export const trimStart = (text: string): string => text.replace(leading, '');
export const trimSpace = (text: string): string => trimEnd(trimStart(text));

/** Character by character: a search for blanks that end a text takes the square of their number when there are more before it. */
function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace(text[end - 1]!)) end--;
  return text.slice(0, end);
}

const escapes: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '"': '\\"',
  '\\': '\\\\',
};

/** `%q` of a string. */
export function quote(text: string): string {
  let quoted = '"';
  for (const character of text) quoted += escapes[character] ?? (isPrintable(character) ? character : escapeCodePoint(character));
  return `${quoted}"`;
}

/** `%q` of a list of strings. */
export const quoteList = (list: readonly string[]): string => `[${list.map(quote).join(' ')}]`;

/** strconv.IsPrint: letters, marks, numbers, punctuation, symbols and the ASCII space. */
function isPrintable(character: string): boolean {
  return character === ' ' || /^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(character);
}

function escapeCodePoint(character: string): string {
  const codePoint = character.codePointAt(0)!;
  if (codePoint < 0x80) return `\\x${codePoint.toString(16).padStart(2, '0')}`;
  if (codePoint < 0x10000) return `\\u${codePoint.toString(16).padStart(4, '0')}`;
  return `\\U${codePoint.toString(16).padStart(8, '0')}`;
}
