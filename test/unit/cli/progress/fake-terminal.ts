// A terminal small enough to read: understands what Screen writes, wraps, scrolls, and fails on anything else.

import { FakeOutput } from '../fake-surroundings.ts';

export class FakeTerminal extends FakeOutput {
  /** What has scrolled off, then what is on the screen; without colours and trailing blanks. */
  readonly #lines: string[][] = [[]];
  #row = 0;
  #column = 0;
  isCursorShown = true;
  /** Times that something left the screen at its top. */
  scrolls = 0;

  constructor(columns: number, rows: number) {
    super({ isTTY: true, columns, rows });
  }

  /** Where the last written line ended up. */
  get screen(): string {
    return this.#visible().join('\n').trimEnd();
  }

  get everything(): string {
    return this.#lines.map(lineText).join('\n').trimEnd();
  }

  override _write(chunk: string | Buffer, encoding: string, done: () => void): void {
    super._write(chunk, encoding, () => {});
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a terminal reads
    const parts = chunk.toString().matchAll(/\x1b\[(\??)([\d;]*)([A-Za-z])|\n|\r|[^\x1b\r\n]+|\x1b/gu);
    for (const [part, isPrivate, argument, final] of parts) {
      if (final !== undefined) this.#control(isPrivate + final, argument ?? '');
      else if (part === '\n') this.#newLine();
      else if (part === '\r') this.#column = 0;
      else if (part === '\x1b') throw new Error('an escape sequence that this terminal does not know');
      else for (const character of part) this.#put(character);
    }
    done();
  }

  #visible(): string[] {
    return this.#lines.slice(-this.rows).map(lineText);
  }

  #control(name: string, argument: string): void {
    if (name === 'A') this.#row = Math.max(this.#top, this.#row - Number(argument || 1));
    else if (name === 'K') this.#line.length = Math.min(this.#line.length, this.#column);
    else if (name === 'J') {
      this.#line.length = Math.min(this.#line.length, this.#column);
      for (const line of this.#lines.slice(this.#row + 1)) line.length = 0;
    } else if (name === '?h' || name === '?l') {
      if (argument === '25') this.isCursorShown = name === '?h';
    } else if (name !== 'm') throw new Error(`this terminal does not know ${name}`);
  }

  get #top(): number {
    return Math.max(0, this.#lines.length - this.rows);
  }

  get #line(): string[] {
    return this.#lines[this.#row]!;
  }

  #newLine(): void {
    this.#column = 0;
    this.#row++;
    if (this.#row < this.#lines.length) return;
    this.#lines.push([]);
    if (this.#lines.length > this.rows) this.scrolls++;
  }

  /** One column a character, but two for those of the wide blocks that the tests use. */
  #put(character: string): void {
    if (character === '\u200d') return;
    const width = /[\u3000-\u9fff\uac00-\ud7a3\u{1f300}-\u{1faff}]/u.test(character) ? 2 : 1;
    if (this.#column + width > this.columns) this.#newLine();
    for (let at = this.#line.length; at < this.#column; at++) this.#line.push(' ');
    this.#line[this.#column] = character;
    if (width === 2) this.#line[this.#column + 1] = '';
    this.#column += width;
  }
}

function lineText(line: readonly string[]): string {
  return line.join('').trimEnd();
}
