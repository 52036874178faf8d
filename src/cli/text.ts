// Text as a terminal shows it: how wide it is, how to cut it, and what of foreign text may reach it. Pure.

/** By far the most lines. */
const plainAscii = /^[\x20-\x7e]*$/;

// East Asian Wide and Fullwidth blocks (Unicode UAX #11), coarse, and emoji: what a terminal gives two columns.
const wide =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1b000}-\u{1b2ff}\u{1f200}-\u{1f265}\u{20000}-\u{3fffd}\p{Emoji_Presentation}]$/u;
// But for the variation selector that makes the character before it an emoji: it may widen that.
const zeroWidth = /^(?!\ufe0f)[\p{Mn}\p{Me}\p{Cf}]$/u;

/**
 * Columns that text takes at most. By code points: terminals differ in what they join (families, flags), and a line that is
 * thought too wide is merely cut early, while one that is thought too narrow wraps and tears the display.
 */
export function widthOf(text: string): number {
  if (plainAscii.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += characterWidth(character);
  return width;
}

/** At most `columns` wide; what was cut leaves an ellipsis. */
export function cutToWidth(text: string, columns: number): string {
  if (text.length <= columns && plainAscii.test(text)) return text;
  if (columns < 1) return '';
  let kept = '';
  let width = 0;
  for (const character of text) {
    width += characterWidth(character);
    if (width > columns) return `${kept}…`;
    if (width > columns - 1) continue;
    kept += character;
  }
  return text;
}

function characterWidth(character: string): number {
  if (character <= '\x7e') return 1;
  if (wide.test(character)) return 2;
  return zeroWidth.test(character) ? 0 : 1;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controlCharacters = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/g;
/** They would show a line in another order than it is written (CVE-2021-42574). */
const bidiControls = /[\u202a-\u202e\u2066-\u2069]/g;

/** Foreign text as one harmless line: no escape sequences, no control characters, tabs as spaces. */
export function oneLine(text: string): string {
  if (plainAscii.test(text)) return text;
  return withoutControls(withoutEscapes(lastWritten(text)).replaceAll('\t', '        '));
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences start with one
const escapeSequence = /\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const colourSequence = /^\x1b\[[\d;:]*m$/;

/** Foreign text as one line that may have colours, but cannot move the cursor, set a title or write a clipboard. */
export function oneColouredLine(text: string): string {
  if (plainAscii.test(text)) return text;
  const line = lastWritten(text);
  let shown = '';
  let end = 0;
  for (const { 0: sequence, index } of line.matchAll(escapeSequence)) {
    shown += withoutControls(line.slice(end, index)) + (colourSequence.test(sequence) ? sequence : '');
    end = index + sequence.length;
  }
  shown += withoutControls(line.slice(end));
  return shown.includes('\x1b') ? `${shown}\x1b[0m` : shown;
}

function withoutControls(text: string): string {
  return text.replace(controlCharacters, '').replace(bidiControls, '');
}

/** What is left without colours, titles, links and cursor movements. */
export function withoutEscapes(text: string): string {
  return text.includes('\x1b') || text.includes('\x9b') ? text.replace(escapeSequence, '') : text;
}

/** What a carriage return leaves of a line: progress bars write over themselves. */
function lastWritten(line: string): string {
  return (
    line
      .split('\r')
      .filter((part) => part !== '')
      .at(-1) ?? ''
  );
}
