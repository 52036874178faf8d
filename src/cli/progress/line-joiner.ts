// Pieces of output, cut anywhere, put together into lines. Bounded: a line that never ends is cut.

/** A line beyond this is given out in parts. */
const lineLengthMax = 16_384;

export class LineJoiner {
  #rest = '';

  /** What has come since the last line end. */
  get rest(): string {
    return this.#rest;
  }

  /** Returns the lines that are complete now, without their ends. */
  push(text: string): string[] {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    // What a progress bar has written over does not matter any more; a carriage return at the end may belong to a line end.
    const overwritten = this.#rest.lastIndexOf('\r', this.#rest.length - 2);
    if (overwritten >= 0) this.#rest = this.#rest.slice(overwritten + 1);
    while (this.#rest.length > lineLengthMax) {
      lines.push(this.#rest.slice(0, lineLengthMax));
      this.#rest = this.#rest.slice(lineLengthMax);
    }
    return lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  }

  /** Returns what is left, as a line. */
  flush(): string[] {
    const rest = this.#rest;
    this.#rest = '';
    return rest === '' ? [] : [rest];
  }
}
