// The text of `--help`, laid out as docker's. Pure: tables in, text out.

import type { Flag, FlagTable } from './flags.ts';

/** Names of flags by heading, in the order of the help. */
export type HelpGroups = Readonly<Record<string, readonly string[]>>;

export interface HelpParts {
  readonly name: string;
  readonly usage: string;
  readonly description: string;
  readonly flags: FlagTable;
  readonly groups?: HelpGroups;
  readonly examples?: readonly Row[];
}

/** Width where the output is no terminal, as docker's. */
const defaultColumns = 80;

export function commandHelp(parts: HelpParts, columns: number | undefined): string {
  const { name, usage, description, flags, groups = {}, examples = [] } = parts;
  const rows = Object.entries(flags)
    .filter(([, { hidden }]) => !hidden)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([flagName, flag]) => ({ flagName, row: [flagSyntax(flagName, flag), flagText(flag)] as const }));
  const leftWidth = widthOf(rows.map(({ row }) => row));
  const grouped = new Set(Object.values(groups).flat());
  const rest = rows.filter(({ flagName }) => !grouped.has(flagName));
  const sections = [
    ...Object.entries(groups).map(([heading, names]) => [
      heading,
      // In the group's order: the flag that is wanted most comes first.
      names.flatMap((wanted) => rows.filter(({ flagName }) => flagName === wanted)),
    ]),
    [grouped.size === 0 ? 'Options' : 'Other options', rest],
  ] as const;
  const texts = sections.map(([heading, members]) => {
    const own = (members as typeof rows).map(({ row }) => row);
    return `${heading}:\n${twoColumns(own, columns, leftWidth)}`;
  });
  const shown = examples.map(([command, what]): Row => [`  ${command}`, what]);
  const last = shown.length === 0 ? [] : [`Examples:\n${twoColumns(shown, columns)}`];
  const head = `\nUsage:  tbuild ${name} ${usage}\n\n${wrap(description, columns || defaultColumns).join('\n')}\n\n`;
  return head + [...texts, ...last].join('\n');
}

export interface CommandSummary {
  readonly name: string;
  readonly summary: string;
}

export function programHelp(commands: readonly CommandSummary[], columns: number | undefined): string {
  return [
    '',
    'Usage:  tbuild [OPTIONS] PATH',
    '        tbuild COMMAND',
    '',
    'Builds OCI images from Dockerfiles without a daemon, and runs them from the same store',
    '',
    'Commands:',
    twoColumns(
      commands.map(({ name, summary }): Row => [`  ${name}`, summary]),
      columns,
    ),
    'Options:',
    twoColumns(
      [
        ['  -D, --debug', 'Print debug lines, and stack traces of errors'],
        ['      --help', 'Print usage'],
        ['  -v, --version', 'Print the version'],
      ],
      columns,
    ),
    "tbuild -t app . is short for tbuild build -t app .; run 'tbuild COMMAND --help' for more on a command.",
    '',
  ].join('\n');
}

type Row = readonly [left: string, right: string];

function flagSyntax(name: string, { short, value }: Flag): string {
  return `  ${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`;
}

/** Texts are quoted, numbers and booleans are not (pflag). */
function flagText({ help, default: written, value }: Flag): string {
  if (written === undefined) return help;
  return `${help} (default ${value === undefined || value === 'int' ? written : `"${written}"`})`;
}

const widthOf = (rows: readonly Row[]): number => Math.max(...rows.map(([left]) => left.length)) + 3;

function twoColumns(rows: readonly Row[], columns: number | undefined, leftWidth = widthOf(rows)): string {
  const rightWidth = Math.max(24, (columns || defaultColumns) - leftWidth);
  return rows
    .map(([left, right]) => `${left.padEnd(leftWidth)}${wrap(right, rightWidth).join(`\n${' '.repeat(leftWidth)}`)}\n`)
    .join('');
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line += line === '' ? word : ` ${word}`;
    }
  }
  return [...lines, line];
}
