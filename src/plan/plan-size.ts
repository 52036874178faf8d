// How large a plan may become. What a stage inherits, what a RUN has in its environment and what a LABEL adds to are held or copied each time, so a
// hostile file's plan would be the square of its length: this counts, and ends it before the memory does.

import { dockerfileError } from '../dockerfile/errors.ts';

const maxEntries = 2_000_000;
const maxCharacters = 64 * 1024 * 1024;

export class PlanSize {
  private entries = 0;
  private characters = 0;

  /** Variables, labels, ports, lines of history: whatever is one of many. */
  addEntries(count: number): void {
    this.entries += count;
    if (this.entries > maxEntries) throw tooLarge(`${maxEntries} variables, labels, triggers and lines of history`);
  }

  /** What a word became. */
  addText(text: string): void {
    this.characters += text.length;
    if (this.characters > maxCharacters) throw tooLarge(`${maxCharacters} characters`);
  }
}

const tooLarge = (what: string) => dockerfileError('too-large', `the plan of this Dockerfile has more than ${what}`);
