// Parser directives: `# syntax=`, `# escape=`, `# check=` at the very top of a file (BuildKit: parser/directives.go).
// The first line that is none ends them: a blank one, another comment, an unknown key, an instruction.

import type { Location } from '../base/errors.ts';
import { dockerfileError, locate } from './errors.ts';
import { trimStart } from './go-text.ts';
import type { Escape } from './words.ts';

export interface Directives {
  readonly escapeToken: Escape;
  /** As written: a reference, perhaps followed by a command line. */
  readonly syntax: string | undefined;
  readonly check: string | undefined;
  readonly checkWhere: Location | undefined;
  /** How many lines at the top are directives. */
  readonly lineCount: number;
}

/** `place`: where a line stands, for errors. */
export function readDirectives(lines: readonly string[], place: (index: number) => Location): Directives {
  const found = new Map<string, string>();
  let checkWhere: Location | undefined;
  let escapeToken: Escape = '\\';
  for (const [index, line] of lines.entries()) {
    const match = /^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$/u.exec(trimStart(line));
    const [, name = '', value = ''] = match ?? [];
    const key = name.toLowerCase();
    if (key !== 'syntax' && key !== 'escape' && key !== 'check') break;
    if (found.has(key)) {
      throw dockerfileError('directive', `only one ${key} parser directive can be used`, place(index));
    }
    found.set(key, value);
    if (key === 'check') checkWhere = place(index);
    if (key === 'escape') escapeToken = locate(valuePlace(place(index), line, value), () => escapeOf(value));
  }
  return { escapeToken, syntax: found.get('syntax'), check: found.get('check'), checkWhere, lineCount: found.size };
}

function valuePlace(where: Location, line: string, value: string): Location {
  const startColumn = line.lastIndexOf(value);
  return { ...where, range: { ...where.range, startColumn, endColumn: startColumn + value.length } };
}

function escapeOf(value: string): Escape {
  if (value === '\\' || value === '`') return value;
  throw dockerfileError('directive', `invalid escape token '${value}' does not match \` or \\`);
}
