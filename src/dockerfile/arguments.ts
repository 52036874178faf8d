// One instruction's text → keyword, flags and arguments, each instruction by its own rules
// (BuildKit: parser/split_command.go, parser/line_parsers.go). Variables are not looked at here.

import { dockerfileError } from './errors.ts';
import { isSpace, trimSpace, trimStart } from './go-text.ts';
import type { Escape } from './words.ts';

export interface Command {
  /** As written: `FROM`, `from`. */
  readonly keyword: string;
  /** `--name=value`, quotes and escapes removed. */
  readonly flags: readonly string[];
  /** Empty: the instruction stands alone. ENV and LABEL: name, value, and `=` or nothing, again and again. */
  readonly args: readonly string[];
  /** The arguments were a JSON array. */
  readonly json: boolean;
  /** The trigger of an ONBUILD. */
  readonly trigger: Command | undefined;
}

type Arguments = Pick<Command, 'args' | 'json'> & { readonly trigger?: Command | undefined };

const readers: Readonly<Record<string, (rest: string, escapeToken: Escape) => Arguments>> = {
  add: readJsonOrFields,
  arg: (rest, escapeToken) => plain(splitWords(rest, escapeToken)),
  cmd: readJsonOrText,
  copy: readJsonOrFields,
  entrypoint: readJsonOrText,
  env: (rest, escapeToken) => readPairs('ENV', rest, escapeToken),
  expose: readFields,
  from: readFields,
  healthcheck: readHealthcheck,
  label: (rest, escapeToken) => readPairs('LABEL', rest, escapeToken),
  maintainer: readText,
  onbuild: readTrigger,
  run: readJsonOrText,
  shell: readJsonOrText,
  stopsignal: readText,
  user: readText,
  volume: readJsonOrFields,
  workdir: readText,
};

export const knownKeywords: readonly string[] = Object.keys(readers);

export function readCommand(line: string, escapeToken: Escape): Command {
  const { keyword, flags, rest } = splitCommand(line);
  const reader = readers[keyword.toLowerCase()];
  // An unknown instruction is an error of the next stage: what is wrong with the text itself comes first.
  const { args, json, trigger } = reader?.(rest, escapeToken) ?? plain(['']);
  return { keyword, flags, args, json, trigger };
}

const plain = (args: readonly string[]): Arguments => ({ args, json: false });

function splitCommand(line: string): { keyword: string; flags: readonly string[]; rest: string } {
  const match = /^(?<keyword>[^\t\v\f\r ]*)(?:[\t\v\f\r ]+(?<rest>.*))?$/su.exec(trimSpace(line));
  const { flags, end } = readFlags(match?.groups?.rest ?? '');
  return { keyword: match?.groups?.keyword ?? '', flags, rest: trimSpace((match?.groups?.rest ?? '').slice(end)) };
}

/** Words that begin with `--`, up to the first that does not; a bare `--` ends them too. */
function readFlags(text: string): { flags: string[]; end: number } {
  const flags: string[] = [];
  let position = 0;
  for (;;) {
    while (position < text.length && isSpace(text[position]!)) position++;
    if (!text.startsWith('--', position)) return { flags, end: position };
    const word = readFlag(text, position);
    position = word.end;
    if (word.value === '--') return { flags, end: position };
    if (word.value !== '') flags.push(word.value);
  }
}

/** One word; quotes group and vanish, a backslash (whatever the escape directive says) protects the next character. */
function readFlag(text: string, start: number): { value: string; end: number } {
  let value = '';
  let quoteMark: string | undefined;
  let i = start;
  for (; i < text.length; i++) {
    const character = text[i]!;
    if (character === quoteMark) quoteMark = undefined;
    else if (quoteMark === undefined && isSpace(character)) break;
    else if (quoteMark === undefined && (character === "'" || character === '"')) quoteMark = character;
    else if (character !== '\\') value += character;
    else if (i + 1 < text.length) value += text[++i];
  }
  return { value, end: i };
}

/** Splits at spaces outside quotes; quotes and escapes stay, they are the lexer's (`parseWords`). */
export function splitWords(text: string, escapeToken: Escape): string[] {
  const words: string[] = [];
  let word = '';
  let quoteMark: string | undefined;
  const flush = () => {
    if (word !== '') words.push(word);
    word = '';
  };
  const characters = Array.from(text);
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i]!;
    if (quoteMark === undefined && isSpace(character)) {
      flush();
      continue;
    }
    if (quoteMark === undefined && (character === "'" || character === '"')) quoteMark = character;
    else if (character === quoteMark) quoteMark = undefined;
    else if (character === escapeToken && quoteMark !== "'") {
      // An escape character that ends the text is dropped.
      if (i + 1 < characters.length) word += character + characters[++i];
      continue;
    }
    word += character;
  }
  flush();
  return words;
}

/** `k=v …`, or the old form `k rest of the line`: which of them, the first word says. */
function readPairs(keyword: string, rest: string, escapeToken: Escape): Arguments {
  const words = splitWords(rest, escapeToken);
  if (words.length === 0) return plain([]);
  if (!words[0]!.includes('=')) {
    const match = /^(?<name>[^\t\v\f\r ]*)[\t\v\f\r ]+(?<value>.*)$/su.exec(rest);
    if (match?.groups === undefined) throw dockerfileError('arguments', `${keyword} must have two arguments`);
    return plain([match.groups.name!, match.groups.value!, '']);
  }
  return plain(
    words.flatMap((word) => {
      const equals = word.indexOf('=');
      if (equals < 0) {
        throw dockerfileError('arguments', `syntax error - can't find = in "${word}". must be of the form: name=value`);
      }
      return [word.slice(0, equals), word.slice(equals + 1), '='];
    }),
  );
}

function readText(rest: string): Arguments {
  return plain(rest === '' ? [] : [rest]);
}

function readFields(rest: string): Arguments {
  return plain(rest === '' ? [] : rest.split(/[\t\v\f\r ]+/));
}

function readJsonOrText(rest: string): Arguments {
  return readJson(rest) ?? readText(rest);
}

function readJsonOrFields(rest: string): Arguments {
  return readJson(rest) ?? readFields(rest);
}

/** A JSON array of strings. What does not parse is no JSON; what parses and holds something else is an error. */
function readJson(rest: string): Arguments | undefined {
  const text = trimStart(rest);
  if (!text.startsWith('[')) return undefined;
  let values: unknown[];
  try {
    values = JSON.parse(text) as unknown[];
  } catch {
    return undefined;
  }
  return {
    json: true,
    args: values.map((value) => {
      if (typeof value === 'string') return value.toWellFormed();
      throw dockerfileError('json', 'when using JSON array syntax, arrays must be comprised of strings only');
    }),
  };
}

/** The type (NONE, CMD), then a command. */
function readHealthcheck(rest: string): Arguments {
  if (rest === '') return plain([]);
  const match = /^(?<type>\S+)\s*(?<command>.*)$/su.exec(rest);
  const command = readJsonOrText(match?.groups?.command ?? '');
  return { args: [match?.groups?.type ?? '', ...command.args], json: command.json };
}

function readTrigger(rest: string, escapeToken: Escape): Arguments {
  if (rest === '') return plain([]);
  const trigger = readCommand(rest, escapeToken);
  return { args: [trigger.keyword, ...trigger.args], json: false, trigger };
}
