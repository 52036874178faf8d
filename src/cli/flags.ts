// Flags as data, and the parser that reads them: one table per command, from which parsing, types and help follow.
// Reads arguments as Docker's parser (spf13/pflag) does. Knows nothing of what flags mean; never prints.

import { TbuildError } from '../base/errors.ts';
import { parseBool } from '../base/parse-bool.ts';
import { nearest } from './nearest.ts';

export interface Flag {
  readonly short?: string;
  /** What the help calls the value ("string", "list"); a flag without one is a boolean. */
  readonly value?: string;
  /** May be given more than once; otherwise the last one wins. */
  readonly repeated?: true;
  readonly choices?: readonly string[];
  readonly default?: string;
  /** Not in the help. */
  readonly hidden?: true;
  readonly help: string;
}

/** Flags by their long names, in the order of the help. */
export type FlagTable = Readonly<Record<string, Flag>>;

type FlagValue<F extends Flag> = F extends { readonly value: string }
  ? F extends { readonly repeated: true }
    ? readonly string[]
    : F extends { readonly default: string }
      ? string
      : string | undefined
  : boolean;

export type FlagValues<T extends FlagTable> = { readonly [Name in keyof T]: FlagValue<T[Name]> };

export interface ParsedArguments<T extends FlagTable> {
  readonly flags: FlagValues<T>;
  readonly positionals: readonly string[];
}

/**
 * Splits arguments into flags and positionals. With `stopAtPositional` everything from the first positional on is positional:
 * what stands behind the image of `tbuild run` belongs to the container's command.
 */
export function parseFlags<const T extends FlagTable>(
  table: T,
  args: readonly string[],
  { stopAtPositional = false } = {},
): ParsedArguments<T> {
  const values = emptyValues(table);
  const positionals: string[] = [];
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === '--') {
      positionals.push(...rest.splice(0));
    } else if (arg.startsWith('--')) {
      readLong(table, values, arg, rest);
    } else if (arg.startsWith('-') && arg !== '-') {
      readShortGroup(table, values, arg, rest);
    } else {
      positionals.push(arg);
      if (stopAtPositional) positionals.push(...rest.splice(0));
    }
  }
  return { flags: Object.fromEntries(values) as FlagValues<T>, positionals };
}

type Values = Map<string, boolean | string | string[] | undefined>;

function emptyValues(table: FlagTable): Values {
  const empty = (flag: Flag) => (flag.value === undefined ? flag.default === 'true' : flag.repeated ? [] : flag.default);
  return new Map(Object.entries(table).map(([name, flag]) => [name, empty(flag)]));
}

/** `--name`, `--name=value` or `--name value`; the value may start with a dash. */
function readLong(table: FlagTable, values: Values, arg: string, rest: string[]): void {
  const [name, inline] = splitOnce(arg.slice(2));
  const flag = Object.hasOwn(table, name) ? table[name] : undefined;
  if (flag === undefined) throw unknownFlag(table, `--${name}`, name);
  const text = inline ?? (flag.value === undefined ? 'true' : rest.shift());
  setValue(values, name, flag, `--${name}`, text);
}

/** `-it`, `-f file`, `-ffile`, `-f=file`, `-itf file`: booleans, until one takes the remainder or the next argument. */
function readShortGroup(table: FlagTable, values: Values, arg: string, rest: string[]): void {
  for (let at = 1; at < arg.length; at++) {
    const short = arg[at]!;
    const remainder = arg.slice(at + 1);
    const [name, flag] = Object.entries(table).find(([, candidate]) => candidate.short === short) ?? [];
    if (name === undefined || flag === undefined) throw unknownFlag(table, `-${short}`, arg.slice(1));
    if (flag.value === undefined && !remainder.startsWith('=')) {
      values.set(name, true);
      continue;
    }
    setValue(values, name, flag, `-${short}`, remainder.startsWith('=') ? remainder.slice(1) : remainder || rest.shift());
    return;
  }
}

function setValue(values: Values, name: string, flag: Flag, shown: string, text: string | undefined): void {
  if (text === undefined) throw new TbuildError('usage/missing-value', `flag needs a value: ${shown}`);
  if (flag.value === undefined) {
    values.set(name, readBoolean(shown, text));
    return;
  }
  if (flag.choices !== undefined && !flag.choices.includes(text)) throw badChoice(shown, text, flag.choices);
  if (flag.repeated) (values.get(name) as string[]).push(text);
  else values.set(name, text);
}

function readBoolean(shown: string, text: string): boolean {
  const value = parseBool(text);
  if (value !== undefined) return value;
  throw new TbuildError('usage/bad-value', `${shown} is true or false, not "${text}"`);
}

function badChoice(shown: string, text: string, choices: readonly string[]): TbuildError {
  const meant = nearest(text, choices);
  return new TbuildError('usage/bad-value', `${shown} does not take "${text}": it is one of ${choices.join(', ')}`, {
    hint: meant && `did you mean ${shown}=${meant}?`,
  });
}

function unknownFlag(table: FlagTable, shown: string, typed: string): TbuildError {
  const meant = nearest(typed, Object.keys(table));
  return new TbuildError('usage/unknown-flag', `unknown flag: ${shown}`, { hint: meant && `did you mean --${meant}?` });
}

function splitOnce(text: string): [string, string | undefined] {
  const at = text.indexOf('=');
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
