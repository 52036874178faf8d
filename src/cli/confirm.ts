// Asks before something goes for good: whoever is at a terminal; a script is taken at its word.

import { promptLine, type Terminal } from './prompt.ts';
import type { Output } from './surroundings.ts';

export async function confirm(question: string, stdin: Terminal, stdout: Output): Promise<boolean> {
  if (!stdin.isTTY) return true;
  return /^y(es)?$/i.test((await promptLine(question, stdin, stdout, false)).trim());
}
