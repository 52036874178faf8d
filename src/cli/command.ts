// What a command is and what it is given: its parsed arguments, the streams, the library below.
// Here arguments become an invocation, and whatever it throws becomes a message and an exit code.

import { debugLines } from '../base/debug.ts';
import { exitCodeOf } from '../base/error-object.ts';
import { TbuildError } from '../base/errors.ts';
import { type FlagTable, type FlagValues, parseFlags } from './flags.ts';
import { commandHelp, type HelpGroups } from './help.ts';
import { reportError } from './report-error.ts';
import type { Output, Surroundings } from './surroundings.ts';
import { oneLine } from './text.ts';

export interface Invocation<T extends FlagTable> extends Surroundings {
  readonly flags: FlagValues<T>;
  readonly positionals: readonly string[];
  readonly isDebug: boolean;
}

export interface CommandParts<T extends FlagTable> {
  readonly name: string;
  /** What follows the name in the first line of the help: `[OPTIONS] PATH | URL | -`. */
  readonly usage: string;
  readonly description: string;
  readonly flags: T;
  /** For the help of a command with many flags. */
  readonly groups?: HelpGroups;
  readonly examples?: readonly (readonly [command: string, what: string])[];
  /** Least and greatest number of positionals. */
  readonly positionals: readonly [number, number];
  /** Everything from the first positional on is positional. */
  readonly stopAtPositional?: boolean;
  /** Resolves to the exit code. */
  readonly run: (invocation: Invocation<T>) => Promise<number>;
  /** For a command whose exit codes are not those of the error families. */
  readonly exitCodeOf?: (error: unknown) => number;
}

export interface Command {
  readonly help: (columns: number | undefined) => string;
  /** Resolves to the exit code; what went wrong has been said. */
  readonly start: (args: readonly string[], surroundings: Surroundings, isDebug: boolean) => Promise<number>;
}

/** A command as the table has it: its module is loaded when it is called. */
export interface CommandEntry {
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

export function defineCommand<const T extends FlagTable>(parts: CommandParts<T>): Command {
  const table = withGlobalFlags(parts.flags);
  const help = (columns: number | undefined) => commandHelp({ ...parts, flags: table }, columns);

  const start: Command['start'] = async (args, surroundings, debugBefore) => {
    const { stdout, stderr, env } = surroundings;
    let isDebug = debugBefore;
    try {
      const { flags, positionals } = parseFlags(table, args, { stopAtPositional: parts.stopAtPositional ?? false });
      const { debug, help: isHelpWanted } = flags as FlagValues<typeof globalFlags>;
      isDebug ||= debug;
      if (isHelpWanted) {
        stdout.write(help(stdout.columns));
        return 0;
      }
      checkCount(parts, positionals.length);
      if (isDebug) printDebugLines(stderr);
      return await parts.run({ ...surroundings, flags: flags as FlagValues<T>, positionals, isDebug });
    } catch (error) {
      reportError(withUsageHint(error, parts.name), { stderr, env, isDebug });
      return (parts.exitCodeOf ?? exitCodeOf)(error);
    }
  };
  return { help, start };
}

/** For as long as the process lives: it runs one command. */
function printDebugLines(stderr: Output): void {
  debugLines.subscribe((line) => stderr.write(`debug: ${oneLine(String(line))}\n`));
}

const globalFlags = {
  debug: { short: 'D', help: 'Print debug lines, and stack traces of errors' },
  help: { help: 'Print usage' },
} as const satisfies FlagTable;

/** `-h` is help, unless the command has another use for it (run: the host name, as in docker). */
function withGlobalFlags(flags: FlagTable): FlagTable {
  const isTaken = Object.values(flags).some(({ short }) => short === 'h');
  return { ...flags, ...globalFlags, help: isTaken ? globalFlags.help : { ...globalFlags.help, short: 'h' } };
}

function checkCount(
  { name, usage, positionals: [least, most] }: Pick<CommandParts<FlagTable>, 'name' | 'usage' | 'positionals'>,
  count: number,
): void {
  if (count >= least && count <= most) return;
  const plural = (n: number) => (n === 1 ? '1 argument' : `${n} arguments`);
  const wanted =
    least === most
      ? least === 0
        ? 'no arguments'
        : plural(least)
      : count < least
        ? `at least ${plural(least)}`
        : `at most ${plural(most)}`;
  throw new TbuildError('usage/arguments', `tbuild ${name} takes ${wanted}, not ${count}`, {
    hint: `the usage is: tbuild ${name} ${usage}`,
  });
}

function withUsageHint(error: unknown, name: string): unknown {
  if (!(error instanceof TbuildError) || !error.code.startsWith('usage/') || error.hint !== undefined) return error;
  const { code, message, cause, where, details } = error;
  return new TbuildError(code, message, { cause, where, details, hint: `see tbuild ${name} --help` });
}
