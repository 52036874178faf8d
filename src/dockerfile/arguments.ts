// One instruction's text → keyword, flags and arguments, each instruction by its own rules
// (BuildKit: parser/split_command.go, parser/line_parsers.go). Variables are not looked at here.

import type { TbuildError } from '../base/errors.ts';
import { dockerfileError, type Span, setPart } from './errors.ts';
import { isSpace, trimSpace, trimStart } from './go-text.ts';
import type { Escape } from './words.ts';

export interface Command {
  /** As written: `FROM`, `from`. */
  readonly keyword: string;
  /** Where in the instruction's text it stands; `flagSpans` and `argSpans` say it of each flag and argument, quotes included. */
  readonly keywordSpan: Span;
  readonly flagSpans: readonly Span[];
  readonly argSpans: readonly Span[];
  /** `--name=value`, quotes and escapes removed. */
  readonly flags: readonly string[];
  /** Empty: the instruction stands alone. ENV and LABEL: name, value, and `=` or nothing, again and again. */
  readonly args: readonly string[];
  /** The arguments were a JSON array. */
  readonly json: boolean;
  /** The trigger of an ONBUILD. */
  readonly trigger: Command | undefined;
}

type Arguments = Pick<Command, 'args' | 'argSpans' | 'json'> & { readonly trigger?: Command | undefined };

/** What follows the keyword and the flags, trimmed, and where it begins. */
interface Rest {
  readonly text: string;
  readonly start: number;
}

const readers: Readonly<Record<string, (rest: Rest, escapeToken: Escape) => Arguments>> = {
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

export const chainedOnbuild = "chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed";

/** `start`: where `line` begins in the text that spans are of. */
export function readCommand(line: string, escapeToken: Escape, start = 0): Command {
  const { keyword, flags, rest } = splitCommand(line, start);
  const name = keyword.text.toLowerCase();
  // An unknown instruction is an error of the next stage: what is wrong with the text itself comes first.
  const { args, argSpans, json, trigger } = Object.hasOwn(readers, name)
    ? readers[name]!(rest, escapeToken)
    : plain([{ text: '', span: keyword.span }]);
  return {
    keyword: keyword.text,
    keywordSpan: keyword.span,
    flags: flags.map(({ text }) => text),
    flagSpans: flags.map(({ span }) => span),
    args,
    argSpans,
    json,
    trigger,
  };
}

interface Word {
  readonly text: string;
  readonly span: Span;
}

const plain = (words: readonly Word[]): Arguments => ({
  args: words.map(({ text }) => text),
  argSpans: words.map(({ span }) => span),
  json: false,
});

function splitCommand(line: string, start: number): { keyword: Word; flags: readonly Word[]; rest: Rest } {
  const fromKeyword = trimStart(line);
  const keywordStart = start + line.length - fromKeyword.length;
  const match = /^(?<keyword>[^\t\v\f\r ]*)(?:[\t\v\f\r ]+(?<rest>.*))?$/su.exec(trimSpace(fromKeyword));
  const { keyword: text = '', rest: written = '' } = match?.groups ?? {};
  const keyword = { text, span: { start: keywordStart, end: keywordStart + text.length } };
  const restStart = keywordStart + (match?.[0].length ?? 0) - written.length;
  const { flags, end } = readFlags(written, restStart);
  const rest = trimStart(written.slice(end));
  return { keyword, flags, rest: { text: trimSpace(rest), start: restStart + written.length - rest.length } };
}

/** Words that begin with `--`, up to the first that does not; a bare `--` ends them too. */
function readFlags(text: string, start: number): { flags: Word[]; end: number } {
  const flags: Word[] = [];
  let position = 0;
  for (;;) {
    while (position < text.length && isSpace(text[position]!)) position++;
    if (!text.startsWith('--', position)) return { flags, end: position };
    const word = readFlag(text, position);
    const span = { start: start + position, end: start + word.end };
    position = word.end;
    if (word.value === '--') return { flags, end: position };
    if (word.value !== '') flags.push({ text: word.value, span });
  }
}

/**
 * One word; quotes group and vanish, a backslash (whatever the escape directive says) protects the next character. `offsets` collects
 * where each of the value's characters stands.
 */
export function readFlag(text: string, start: number, offsets?: number[]): { value: string; end: number } {
  let value = '';
  let quoteMark: string | undefined;
  let i = start;
  for (; i < text.length; i++) {
    const character = text[i]!;
    if (character === quoteMark) quoteMark = undefined;
    else if (quoteMark === undefined && isSpace(character)) break;
    else if (quoteMark === undefined && (character === "'" || character === '"')) quoteMark = character;
    else if (character !== '\\') {
      value += character;
      offsets?.push(i);
    } else if (i + 1 < text.length) {
      value += text[++i];
      offsets?.push(i);
    }
  }
  return { value, end: i };
}

/** Splits at spaces outside quotes; quotes and escapes stay, they are the lexer's (words.ts). */
function splitWords({ text, start }: Rest, escapeToken: Escape): Word[] {
  const words: Word[] = [];
  let begin = 0;
  let word = '';
  let quoteMark: string | undefined;
  const flush = (end: number) => {
    if (word !== '') words.push({ text: word, span: { start: start + begin, end: start + end } });
    word = '';
  };
  let position = 0;
  for (; position < text.length; position++) {
    const character = text[position]!;
    if (quoteMark === undefined && isSpace(character)) {
      flush(position);
      continue;
    }
    if (word === '') begin = position;
    if (quoteMark === undefined && (character === "'" || character === '"')) quoteMark = character;
    else if (character === quoteMark) quoteMark = undefined;
    else if (character === escapeToken && quoteMark !== "'") {
      // An escape character that ends the text is dropped.
      if (position + 1 < text.length) word += character + text[++position];
      continue;
    }
    word += character;
  }
  flush(position);
  return words;
}

/** `k=v …`, or the old form `k rest of the line`: which of them, the first word says. */
function readPairs(keyword: string, rest: Rest, escapeToken: Escape): Arguments {
  const words = splitWords(rest, escapeToken);
  if (words.length === 0) return plain([]);
  if (!words[0]!.text.includes('=')) return readOldPair(keyword, rest);
  return plain(
    words.flatMap(({ text, span: { start, end } }) => {
      const equals = text.indexOf('=');
      const middle = start + equals;
      if (equals < 0) {
        throw wrongAt({ start, end }, 'arguments', `syntax error - can't find = in "${text}". must be of the form: name=value`);
      }
      return [
        { text: text.slice(0, equals), span: { start, end: middle } },
        { text: text.slice(equals + 1), span: { start: middle + 1, end } },
        { text: '=', span: { start: middle, end: middle + 1 } },
      ];
    }),
  );
}

function readOldPair(keyword: string, { text, start }: Rest): Arguments {
  const end = start + text.length;
  const match = /^(?<name>[^\t\v\f\r ]*)[\t\v\f\r ]+(?<value>.*)$/su.exec(text);
  const { name, value } = match?.groups ?? {};
  if (name === undefined || value === undefined) {
    throw wrongAt({ start, end }, 'arguments', `${keyword} must have two arguments`);
  }
  const nameEnd = start + name.length;
  return plain([
    { text: name, span: { start, end: nameEnd } },
    { text: value, span: { start: end - value.length, end } },
    { text: '', span: { start: nameEnd, end: nameEnd } },
  ]);
}

const whole = ({ text, start }: Rest): Word => ({ text, span: { start, end: start + text.length } });

function readText(rest: Rest): Arguments {
  return plain(rest.text === '' ? [] : [whole(rest)]);
}

function readFields({ text, start }: Rest): Arguments {
  const fields = text.matchAll(/[^\t\v\f\r ]+/g);
  return plain(Array.from(fields, ({ 0: field, index }) => whole({ text: field, start: start + index })));
}

function readJsonOrText(rest: Rest): Arguments {
  return readJson(rest) ?? readText(rest);
}

function readJsonOrFields(rest: Rest): Arguments {
  return readJson(rest) ?? readFields(rest);
}

/** A JSON array of strings. What does not parse is no JSON; what parses and holds something else is an error. */
function readJson({ text, start }: Rest): Arguments | undefined {
  if (!text.startsWith('[')) return undefined;
  let values: unknown[];
  try {
    values = JSON.parse(text) as unknown[];
  } catch {
    return undefined;
  }
  const spans = jsonStrings(text, start);
  const strings = values.map((value, i) => {
    if (typeof value === 'string') return { text: value.toWellFormed(), span: spans[i]! };
    const all = whole({ text, start }).span;
    throw wrongAt(all, 'json', 'when using JSON array syntax, arrays must be comprised of strings only');
  });
  return { ...plain(strings), json: true };
}

/** Where the strings of valid JSON stand, quotes included. */
function jsonStrings(text: string, start: number): Span[] {
  const strings = text.matchAll(/"(?:[^"\\]|\\.)*"/gs);
  return Array.from(strings, ({ 0: string, index }) => ({ start: start + index, end: start + index + string.length }));
}

/** The type (NONE, CMD), then a command. */
function readHealthcheck(rest: Rest): Arguments {
  if (rest.text === '') return plain([]);
  const type = /^\S+/u.exec(rest.text)?.[0] ?? '';
  const command = /\S.*$/su.exec(rest.text.slice(type.length))?.[0] ?? '';
  const { args, argSpans, json } = readJsonOrText({ text: command, start: rest.start + rest.text.length - command.length });
  return { args: [type, ...args], argSpans: [whole({ text: type, start: rest.start }).span, ...argSpans], json };
}

function readTrigger({ text, start }: Rest, escapeToken: Escape): Arguments {
  if (text === '') return plain([]);
  // One is refused by the next stage; a long chain of them is not even read.
  if (/^(?:onbuild[\t\v\f\r ]+){9}/i.test(text)) throw dockerfileError('onbuild', chainedOnbuild);
  const trigger = readCommand(text, escapeToken, start);
  const { keyword, keywordSpan, args, argSpans } = trigger;
  return { args: [keyword, ...args], argSpans: [keywordSpan, ...argSpans], json: false, trigger };
}

const wrongAt = (span: Span, what: string, message: string): TbuildError => setPart(dockerfileError(what, message), span);
