// `--format` of commands that list things, as docker's formatter has it: a table, a table of a template's columns, JSON lines, or a template for
// each row. Pure. docker/cli cli/command/formatter/formatter.go.

import { oneLine } from '../text.ts';
import { parseTemplate } from './go-template.ts';
import { alignTabs } from './tab-writer.ts';

export interface RowFormat {
  /** The columns of a plain table: `{{.ID}}\t{{.Image}}`. */
  readonly table: string;
  /** What the columns are called, by the names of members. */
  readonly headers: Readonly<Record<string, string>>;
}

export type Row = Readonly<Record<string, unknown>>;

/** Reads as a text, and is something else in JSON. */
export class Shown {
  readonly #text: string;
  readonly #json: unknown;

  constructor(text: string, json: unknown) {
    this.#text = text;
    this.#json = json;
  }

  toString(): string {
    return this.#text;
  }

  toJSON(): unknown {
    return this.#json;
  }
}

export const formatHelp =
  'Format output: "table", "table TEMPLATE", "json" (an object for each line), or a Go template for each line';

/** Throws `usage/bad-value`. */
export function formatRows(format: string, { table, headers }: RowFormat, rows: readonly Row[]): string {
  if (format === '' || format === 'table') return tableOf(table, headers, rows);
  if (format.startsWith('table')) return tableOf(unescaped(format.slice('table'.length)), headers, rows);
  if (/^(?:json|\{\{\s*json \.\s*\}\})$/.test(format)) return rows.map((row) => `${jsonOf(row)}\n`).join('');
  const render = parseTemplate(unescaped(format), { indent: 0 });
  if (rows.length === 0) checkNames(format, headers);
  return rows.map((row) => `${render(row)}\n`).join('');
}

function tableOf(template: string, headers: RowFormat['headers'], rows: readonly Row[]): string {
  const header = parseTemplate(template, { indent: 0, isHeader: true })({ ...headers, Label: headerOfLabel });
  const render = parseTemplate(template, { indent: 0 });
  const lines = rows.map((row) => render(row)).map((line) => line.split('\t').map(oneLine).join('\t'));
  return alignTabs([header, ...lines, ''].join('\n'));
}

/** A mistyped name is said where there is no row, too. */
function checkNames(format: string, headers: RowFormat['headers']): void {
  parseTemplate(unescaped(format), { indent: 0, isHeader: true })({ ...headers, Label: headerOfLabel });
}

/** The last word of a label's name. */
const headerOfLabel = (name: unknown): string => String(name).split('.').at(-1)!.replaceAll(/[-_]/g, ' ');

/** In a shell's quotes: `table {{.ID}}\t{{.Names}}`. */
function unescaped(format: string): string {
  return format
    .replace(/^ +| +$/g, '')
    .replaceAll('\\t', '\t')
    .replaceAll('\\n', '\n');
}

/** As Go marshals a map: names in order, and nothing that HTML would take for its own. */
function jsonOf(row: Row): string {
  const sorted = Object.fromEntries(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)));
  return JSON.stringify(sorted).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
