// A block of lines at the bottom of a terminal, drawn over itself. Knows nothing of what the lines say;
// each must fit the width it was made for.

import type { Output } from '../surroundings.ts';
import { widthOf, withoutEscapes } from '../text.ts';

const hideCursor = '\x1b[?25l';
const showCursor = '\x1b[?25h';
const clearToLineEnd = '\x1b[K';
const clearBelow = '\x1b[J';
// Terminals that know it show a frame at once, without tearing; others ignore it.
const [beginFrame, endFrame] = ['\x1b[?2026h', '\x1b[?2026l'];

export class Screen {
  readonly #stream: Output;
  #drawn: readonly string[] = [];
  #isHidden = false;

  constructor(stream: Output) {
    this.#stream = stream;
  }

  /** A terminal that does not know its size is taken for the classic one. */
  get size(): { columns: number; rows: number } {
    return { columns: this.#stream.columns || 80, rows: this.#stream.rows || 24 };
  }

  draw(lines: readonly string[]): void {
    // A terminal that is slower than we are gets fewer frames, not a queue of old ones.
    if (this.#stream.writableNeedDrain) return;
    if (!this.#isHidden) process.once('exit', this.#restore);
    this.#isHidden = true;
    this.#stream.write(`${beginFrame}${hideCursor}${this.#over(lines)}${endFrame}`);
    this.#drawn = lines;
  }

  /** Draws for the last time and gives the terminal back. */
  finish(lines: readonly string[]): void {
    this.#stream.write(this.#over(lines));
    this.#restore();
    process.off('exit', this.#restore);
    this.#drawn = [];
  }

  readonly #restore = (): void => {
    if (this.#isHidden) this.#stream.write(showCursor);
    this.#isHidden = false;
  };

  #over(lines: readonly string[]): string {
    const { columns } = this.size;
    // Terminals wrap what stands there anew when they become narrower: a line may be several rows by now.
    const rowsDrawn = this.#drawn.reduce(
      (rows, line) => rows + Math.max(1, Math.ceil(widthOf(withoutEscapes(line)) / columns)),
      0,
    );
    const up = Math.min(rowsDrawn, this.size.rows - 1);
    return `\r${up > 0 ? `\x1b[${up}A` : ''}${lines.map((line) => `${line}${clearToLineEnd}\n`).join('')}${clearBelow}`;
  }
}
