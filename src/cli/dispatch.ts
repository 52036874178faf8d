// argv → command → exit code. Decides which command is meant; knows nothing of what any of them does.

import { existsSync } from 'node:fs';
import { exitCodeOf } from '../base/error-object.ts';
import { TbuildError } from '../base/errors.ts';
import { aliases, commandTable } from './command-table.ts';
import { programHelp } from './help.ts';
import { nearest } from './nearest.ts';
import { reportError } from './report-error.ts';
import type { Surroundings } from './surroundings.ts';

/** Resolves to the exit code; never rejects for what a user did. */
export async function dispatch(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const isDebug = argv[0] === '-D' || argv[0] === '--debug';
  const args = isDebug ? argv.slice(1) : argv;
  const { stdout, stderr, env } = surroundings;
  try {
    const { name, rest } = chooseCommand(args);
    if (name === undefined) {
      stdout.write(mainHelp(stdout.columns));
      return 0;
    }
    const command = await commandTable[name]!.load();
    return await command.start(rest, surroundings, isDebug);
  } catch (error) {
    reportError(error, { stderr, env, isDebug });
    return exitCodeOf(error);
  }
}

interface Choice {
  /** Undefined: the help of tbuild itself. */
  readonly name: string | undefined;
  readonly rest: readonly string[];
}

/** `tbuild -t app .` is `tbuild build -t app .`: what is no command, and looks like a flag or a path, is for build. */
export function chooseCommand(args: readonly string[], exists: (path: string) => boolean = existsSync): Choice {
  const [first, ...rest] = args;
  if (first === undefined || first === '--help' || first === '-h') return { name: undefined, rest: [] };
  if (first === '--version' || first === '-v') return { name: 'version', rest };
  if (first === 'help')
    return rest[0] === undefined ? { name: undefined, rest: [] } : { name: commandNamed(rest[0]), rest: ['--help'] };
  const name = resolveName(first);
  if (name !== undefined) return { name, rest };
  if (first.startsWith('-') || first === '.' || first.includes('/') || exists(first)) return { name: 'build', rest: args };
  return { name: commandNamed(first), rest };
}

function resolveName(word: string): string | undefined {
  if (Object.hasOwn(commandTable, word)) return word;
  return Object.hasOwn(aliases, word) ? aliases[word] : undefined;
}

function commandNamed(word: string): string {
  const name = resolveName(word);
  if (name !== undefined) return name;
  const meant = nearest(word, Object.keys(commandTable));
  throw new TbuildError('usage/unknown-command', `there is no command "${word}", nor a directory of that name to build`, {
    hint: meant === undefined ? 'tbuild --help lists the commands' : `did you mean tbuild ${meant}?`,
  });
}

function mainHelp(columns: number | undefined): string {
  const summaries = Object.entries(commandTable).map(([name, { summary }]) => ({ name, summary }));
  return programHelp(summaries, columns);
}
