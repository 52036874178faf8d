// Text as a terminal shows it: how wide it is, how to cut it, and what of foreign text may reach it. Pure.

import { stripVTControlCharacters } from 'node:util';

/** Printable ASCII only: by far the most lines, and needs no segmenter. */
const plainAscii = /^[\x20-\x7e]*$/;

// East Asian Wide and Fullwidth blocks (Unicode UAX #11), coarse: what a terminal gives two columns.
const wideCharacter =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1b000}-\u{1b2ff}\u{1f200}-\u{1f265}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}|\ufe0f/u;
const zeroWidth = /^[\p{Mn}\p{Me}\p{Cf}]+$/u;

/** Called only for text that needs it: the first segmenter of a process costs 13 ms, which every command would pay, the next ones nothing. */
const graphemesOf = (text: string) => new Intl.Segmenter(undefined, { granularity: 'grapheme' }).segment(text);

export function widthOf(text: string): number {
  if (plainAscii.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemesOf(text)) width += graphemeWidth(segment);
  return width;
}

/** At most `columns` wide; what was cut leaves an ellipsis. */
export function cutToWidth(text: string, columns: number): string {
  // No line is ever this wide: keeps the segmenter off megabytes.
  const bounded = text.length > 4 * columns + 64 ? text.slice(0, 4 * columns + 64) : text;
  if (bounded === text && widthOf(text) <= columns) return text;
  if (columns < 1) return '';
  let kept = '';
  let width = 0;
  for (const { segment } of graphemesOf(bounded)) {
    width += graphemeWidth(segment);
    if (width > columns - 1) break;
    kept += segment;
  }
  return `${kept}…`;
}

function graphemeWidth(grapheme: string): number {
  if (wideCharacter.test(grapheme)) return 2;
  return zeroWidth.test(grapheme) ? 0 : 1;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controlCharacters = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/g;
const bidiControls = /[\u202a-\u202e\u2066-\u2069]/g;

/** Foreign text as one harmless line: no escape sequences, no control characters, tabs as spaces. */
export function oneLine(text: string): string {
  if (plainAscii.test(text)) return text;
  return stripVTControlCharacters(lastWritten(text))
    .replaceAll('\t', '        ')
    .replace(controlCharacters, '')
    .replace(bidiControls, '');
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences start with one
const escapeSequence = /\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const colourSequence = /^\x1b\[[\d;:]*m$/;

/** Stands for the escape character of a colour while all others are removed; a noncharacter, so text has none. */
const colourMark = '\ufdd0';

/** Foreign text as one line that may have colours, but cannot move the cursor, set a title or write a clipboard. */
export function oneColouredLine(text: string): string {
  if (plainAscii.test(text)) return text;
  const shown = lastWritten(text)
    .replace(escapeSequence, (sequence) => (colourSequence.test(sequence) ? sequence.replace('\x1b', colourMark) : ''))
    .replace(controlCharacters, '')
    .replace(bidiControls, '')
    .replaceAll(colourMark, '\x1b');
  return shown.includes('\x1b') ? `${shown}\x1b[0m` : shown;
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
