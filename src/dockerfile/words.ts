// Words of a Dockerfile: quotes, escapes and the expansion of variables (BuildKit: frontend/dockerfile/shell/lex.go).
// Knows nothing of instructions or scopes: it is given a word and an environment.

import { TbuildError } from '../base/errors.ts';
import { dockerfileError, hasPart, setPart } from './errors.ts';
import { anySpace, isDigit, isLetter, isSpace, quote } from './go-text.ts';
import { parseShellPattern, replaceAll, replaceFirst, trimPrefix, trimSuffix } from './shell-pattern.ts';
import { didYouMean } from './suggest.ts';

export type Escape = '\\' | '`';
export type Environment = ReadonlyMap<string, string>;

export interface LexOptions {
  readonly escapeToken: Escape;
  /** Keep the quotes in the result. */
  readonly rawQuotes?: boolean;
  /** Keep the escape characters in the result. */
  readonly rawEscapes?: boolean;
  /** Quotes are ordinary characters (bodies of heredocs). */
  readonly ignoreQuotes?: boolean;
  /** A reference to a variable that is not set stays as it is. */
  readonly keepUnset?: boolean;
}

export interface Expansion {
  /** The one word that came out. */
  readonly value: string;
  /** The words that came out, split at spaces that are not quoted, after the expansion. */
  readonly words: readonly string[];
  readonly matched: ReadonlySet<string>;
  readonly unmatched: ReadonlySet<string>;
}

/** A value that doubles with each line must end somewhere; Linux takes no variable beyond 128 KiB. */
const maxLength = 1024 * 1024;

/** Of `${a:-${b:-…}}`; deeper ones would exhaust the stack. */
const maxDepth = 200;

/** Most words: nothing in them means anything. */
const plainWord = /^[a-zA-Z0-9_./:@=,+%-]*$/;
const none: ReadonlySet<string> = new Set();

export function expand(word: string, environment: Environment, options: LexOptions): Expansion {
  if (word.length <= maxLength && plainWord.test(word)) {
    return { value: word, words: word === '' ? [] : [word], matched: none, unmatched: none };
  }
  const lexer = new Lexer(word, environment, options);
  try {
    const { text, words } = lexer.readUntil(undefined, options.rawEscapes === true);
    return { value: text, words, matched: lexer.matched, unmatched: lexer.unmatched };
  } catch (error) {
    if (error instanceof Error) error.message = `failed to process ${quote(shorten(word))}: ${error.message}`;
    throw error;
  }
}

const shorten = (word: string): string => (word.length > 1000 ? `${word.slice(0, 1000)}…` : word);

/** The word after quotes, escapes and variables. */
export function processWord(word: string, environment: Environment, escapeToken: Escape): string {
  return expand(word, environment, { escapeToken }).value;
}

/** The words that `word` becomes: one variable may hold several. */
export function processWords(word: string, environment: Environment, escapeToken: Escape): readonly string[] {
  return expand(word, environment, { escapeToken }).words;
}

const specialParameters = '@*#?-$!0';
const wrong = (message: string, hint?: string) => dockerfileError('substitution', message, undefined, hint);

class Lexer {
  readonly matched = new Set<string>();
  readonly unmatched = new Set<string>();
  private readonly characters: readonly string[];
  private readonly environment: Environment;
  private readonly options: LexOptions;
  private position = 0;
  private rawEscapes = false;
  private depth = 0;
  /**
   * The word being collected, one for all levels: a `${…}` with an operator empties it, so that what stands before
   * it in the same word is lost to `words`. BuildKit ships it so (shell/lex.go, wordsBuffer), and EXPOSE shows it.
   */
  private pending = '';

  constructor(word: string, environment: Environment, options: LexOptions) {
    this.characters = Array.from(word);
    this.environment = environment;
    this.options = options;
  }

  /** Reads to `stop` (consumed), or to the end where it is undefined. */
  readUntil(stop: string | undefined, rawEscapes: boolean): { text: string; words: string[] } {
    const outer = this.rawEscapes;
    this.rawEscapes = rawEscapes;
    this.pending = '';
    const words: string[] = [];
    let inWord = false;
    let text = '';

    const flush = () => {
      if (this.pending !== '') words.push(this.pending);
      this.pending = '';
    };
    const addRaw = (piece: string) => {
      this.pending += piece;
      inWord = true;
    };
    const add = (piece: string) => {
      // A value without a space is of one piece.
      if (piece.length > 1 && !anySpace.test(piece)) {
        addRaw(piece);
        return;
      }
      for (const character of piece) {
        if (!isSpace(character)) addRaw(character);
        else if (inWord && this.pending !== '') {
          flush();
          inWord = false;
        }
      }
    };

    try {
      for (let character = this.peek(); character !== undefined; character = this.peek()) {
        if (text.length > maxLength) throw wrong(`the expanded value is longer than ${maxLength} characters`);
        if (character === stop) {
          this.position++;
          flush();
          return { text, words };
        }
        if (character === '$') {
          const value = this.readDollar();
          text += value;
          add(value);
          continue;
        }
        const special = this.readQuotes(character) ?? this.readHeredocMark(character);
        if (special !== undefined) {
          text += special;
          addRaw(special);
          continue;
        }
        this.position++;
        if (character !== this.options.escapeToken) {
          text += character;
          add(character);
          continue;
        }
        if (this.rawEscapes) {
          text += character;
          addRaw(character);
        }
        const escaped = this.next();
        if (escaped === undefined) break;
        text += escaped;
        addRaw(escaped);
      }
    } finally {
      this.rawEscapes = outer;
    }
    if (stop !== undefined) throw wrong(`unexpected end of statement while looking for matching ${stop}`);
    flush();
    return { text, words };
  }

  private readQuotes(character: string): string | undefined {
    if (this.options.ignoreQuotes === true) return undefined;
    if (character === "'") return this.readSingleQuotes();
    if (character === '"') return this.readDoubleQuotes();
    return undefined;
  }

  /** `<<` and the blanks after it stay with the word that follows, so that `<< EOF` is one word. */
  private readHeredocMark(character: string): string | undefined {
    if (character !== '<') return undefined;
    this.position++;
    if (this.peek() !== '<') return '<';
    this.position++;
    let mark = '<<';
    for (let blank = this.peek(); blank === ' ' || blank === '\t'; blank = this.peek()) {
      mark += blank;
      this.position++;
    }
    return mark;
  }

  /** The opening quote, where quotes are kept. */
  private readQuoteMark(): string {
    const mark = this.next();
    return this.options.rawQuotes === true ? mark! : '';
  }

  private readSingleQuotes(): string {
    const start = this.position;
    const quoteMark = this.readQuoteMark();
    let text = quoteMark;
    for (;;) {
      const character = this.next();
      if (character === undefined) {
        throw this.since(start, wrong('unexpected end of statement while looking for matching single-quote'));
      }
      if (character === "'") return text + quoteMark;
      text += character;
    }
  }

  private readDoubleQuotes(): string {
    const start = this.position;
    const quoteMark = this.readQuoteMark();
    let text = quoteMark;
    for (;;) {
      const character = this.peek();
      if (character === undefined) {
        throw this.since(start, wrong('unexpected end of statement while looking for matching double-quote'));
      }
      if (character === '$') {
        text += this.readDollar();
        continue;
      }
      this.position++;
      if (character === '"') return text + quoteMark;
      if (character !== this.options.escapeToken) {
        text += character;
        continue;
      }
      if (this.rawEscapes) text += character;
      const escaped = this.peek();
      if (escaped === undefined) continue;
      // Only these can be escaped; the escape character stays before any other.
      if (escaped === '"' || escaped === '$' || escaped === this.options.escapeToken) {
        this.position++;
        text += escaped;
      } else {
        text += character;
      }
    }
  }

  /** A variable; what is wrong in it is wrong with it. */
  private readDollar(): string {
    const start = this.position;
    if (++this.depth > maxDepth) throw this.since(start, wrong(`variables are nested more than ${maxDepth} deep`));
    try {
      return this.readVariable();
    } catch (error) {
      throw error instanceof TbuildError ? this.since(start, error) : error;
    } finally {
      this.depth--;
    }
  }

  private readVariable(): string {
    this.position++;
    if (this.peek() !== '{') {
      const name = this.readName();
      if (name === '') return '$';
      return this.lookUp(name) ?? (this.options.keepUnset === true ? `$${name}` : '');
    }
    this.position++;
    const first = this.peek();
    if (first === undefined) throw wrong("syntax error: missing '}'");
    if (first === '{' || first === '}' || first === ':') throw wrong('syntax error: bad substitution');
    const name = this.readName();
    const operator = this.nextOrEnd();
    if (operator === '}') return this.lookUp(name) ?? (this.options.keepUnset === true ? `\${${name}}` : '');
    if (operator === '/') return this.replace(name);
    if (operator === ':') return this.substitute(name, `:${this.nextOrEnd()}`);
    if ('+-?#%'.includes(operator)) return this.substitute(name, operator);
    throw wrong(`unsupported modifier (${operator}) in substitution`);
  }

  /** `${name-word}` and its kin; `operator` with its colon. */
  private substitute(name: string, operator: string): string {
    const kind = operator.at(-1)!;
    const takesPattern = kind === '#' || kind === '%';
    if (operator.startsWith(':') && takesPattern) throw wrong(`unsupported modifier (${operator}) in substitution`);
    const word = this.readOperand('}', takesPattern, "syntax error: missing '}'");
    const value = this.lookUp(name);
    if (value === undefined && this.options.keepUnset === true) return `\${${name}${operator}${word}}`;
    const isMissing = value === undefined || (operator.startsWith(':') && value === '');
    switch (kind) {
      case '-':
        return isMissing ? word : value;
      case '+':
        return isMissing ? '' : word;
      case '?': {
        if (!isMissing) return value;
        const state = value === undefined ? 'unset' : 'empty';
        const meant = didYouMean(name, [...this.environment.keys()]);
        const hint = meant === undefined ? undefined : `did you mean ${meant}?`;
        throw wrong(`${name}: ${word === '' ? `is not allowed to be ${state}` : word}`, hint);
      }
      case '#':
      case '%': {
        const longest = word.startsWith(kind);
        const pattern = parseShellPattern(longest ? word.slice(1) : word);
        return (kind === '#' ? trimPrefix : trimSuffix)(value ?? '', pattern, longest);
      }
      default:
        throw wrong(`unsupported modifier (${operator}) in substitution`);
    }
  }

  /** `${name/pattern/text}`, `${name//pattern/text}`. */
  private replace(name: string): string {
    const all = this.peek() === '/';
    if (all) this.position++;
    const pattern = this.readOperand('/', true, `syntax error: missing '/' in \${}`);
    const text = this.readOperand('}', true, "syntax error: missing '}'");
    const value = this.lookUp(name);
    if (value === undefined && this.options.keepUnset === true) return `\${${name}/${pattern}/${text}}`;
    return (all ? replaceAll : replaceFirst)(value ?? '', parseShellPattern(pattern), text);
  }

  /** What is known more closely stays. */
  private since(start: number, error: TbuildError): TbuildError {
    if (hasPart(error)) return error;
    const unitsTo = (position: number) => this.characters.slice(0, position).join('').length;
    return setPart(error, { start: unitsTo(start), end: unitsTo(Math.min(this.position, this.characters.length)) });
  }

  private readOperand(stop: string, rawEscapes: boolean, whenEnded: string): string {
    try {
      return this.readUntil(stop, rawEscapes).text;
    } catch (error) {
      if (this.peek() === undefined) throw wrong(whenEnded);
      throw error;
    }
  }

  /** Letters, digits and `_`; digits alone when it begins with one; or one special parameter. */
  private readName(): string {
    const first = this.peek();
    if (first === undefined) return '';
    let name = '';
    if (isDigit(first)) {
      for (let c = this.peek(); c !== undefined && isDigit(c); c = this.peek()) name += this.next();
      return name;
    }
    if (specialParameters.includes(first)) return this.next()!;
    for (let c = this.peek(); c !== undefined && (isLetter(c) || isDigit(c) || c === '_'); c = this.peek()) {
      name += this.next();
    }
    return name;
  }

  private lookUp(name: string): string | undefined {
    const value = this.environment.get(name);
    (value === undefined ? this.unmatched : this.matched).add(name);
    return value;
  }

  private peek(): string | undefined {
    return this.characters[this.position];
  }

  private next(): string | undefined {
    return this.characters[this.position++];
  }

  /** The next character, or what BuildKit prints at the end of the text. */
  private nextOrEnd(): string {
    return this.next() ?? '\ufffd';
  }
}
