// Templates as Go's text/template reads them, for `--format`: what scripts for docker and buildx write. Fields, variables, pipelines, if, range, with,
// and the functions of template-functions.ts; no definitions of templates. Pure; values are JSON.

import { TbuildError } from '../../base/errors.ts';
import { fieldOf, functionNamed, functions, isTrue, type Options, textOf } from './template-functions.ts';

/** What a name stands for at a place of the template. */
interface Scope {
  readonly dot: unknown;
  readonly variables: ReadonlyMap<string, unknown>;
}

type Evaluate = (scope: Scope) => unknown;
/** Statements change variables for those behind them. */
type Statement = (scope: Scope) => { readonly text: string; readonly scope: Scope };

type Data = Readonly<Record<string, unknown>>;

/** `data`'s members are what `.Name` can be. Throws `usage/bad-value`. */
export function renderTemplate(template: string, data: Data, options: Options): string {
  return parseTemplate(template, options)(data);
}

/** For who renders it several times. Throws `usage/bad-value`, as does what it returns. */
export function parseTemplate(template: string, options: Options): (data: Data) => string {
  const parser = new Parser(lex(template), options);
  const { body, end } = parser.block();
  if (end !== undefined) throw wrong(`unexpected {{${end}}}`);
  return (data) => body({ dot: data, variables: new Map([['$', data]]) }).text;
}

const wrong = (what: string): TbuildError => new TbuildError('usage/bad-value', `--format: ${what}`);

type Part = { readonly text: string } | { readonly action: readonly string[] };

/** Text and actions; `{{-` and `-}}` take the blanks beside them away. */
function lex(template: string): Part[] {
  const parts: Part[] = [];
  const action = /\{\{(- )?((?:"(?:[^"\\]|\\.)*"|`[^`]*`|(?!\}\})[^"`])*?)( -)?\}\}/g;
  let at = 0;
  let trims = false;
  for (const match of template.matchAll(action)) {
    const before = template.slice(at, match.index);
    const right = match[1] === undefined ? before : before.trimEnd();
    parts.push({ text: trims ? right.trimStart() : right });
    parts.push({ action: tokens(match[2] ?? '') });
    trims = match[3] !== undefined;
    at = match.index + match[0].length;
  }
  const rest = template.slice(at);
  if (rest.includes('{{')) throw wrong('an action has no end: }} is missing');
  parts.push({ text: trims ? rest.trimStart() : rest });
  return parts;
}

const token = /\s*("(?:[^"\\]|\\.)*"|`[^`]*`|-?\d+(?:\.\d+)?|:=|[()|,]|\$?\w+|\$|\.\w*)(\s*)/y;

/** A token that blanks follow ends in one: `.A .B` are two operands, `.A.B` is one. */
function tokens(text: string): string[] {
  if (/^\s*\/\*.*\*\/\s*$/s.test(text)) return [];
  const found: string[] = [];
  token.lastIndex = 0;
  while (token.lastIndex < text.length) {
    const from = token.lastIndex;
    const match = token.exec(text);
    if (match === null) throw wrong(`unexpected ${JSON.stringify(text.slice(from).trim().slice(0, 20))} in {{${text.trim()}}}`);
    found.push(`${match[1]}${match[2] === '' ? '' : ' '}`);
  }
  return found;
}

class Parser {
  readonly #parts: Part[];
  readonly #options: Options;
  #tokens: string[] = [];

  constructor(parts: Part[], options: Options) {
    this.#parts = parts;
    this.#options = options;
  }

  /** Up to `end` or `else`, or to the end of it all. */
  block(): { readonly body: Statement; readonly end: string | undefined } {
    const statements: Statement[] = [];
    for (let part = this.#parts.shift(); part !== undefined; part = this.#parts.shift()) {
      if ('text' in part) {
        const { text } = part;
        statements.push((scope) => ({ text, scope }));
        continue;
      }
      this.#tokens = [...part.action];
      const word = this.#peek();
      if (word === 'end' || word === 'else') return { body: inTurn(statements), end: word };
      if (word !== undefined) statements.push(this.#statement(word));
    }
    return { body: inTurn(statements), end: undefined };
  }

  #peek(): string | undefined {
    return this.#tokens[0]?.trimEnd();
  }

  #statement(word: string): Statement {
    if (word !== 'if' && word !== 'with' && word !== 'range') return this.#pipelineStatement();
    this.#tokens.shift();
    return this.#conditional(word);
  }

  #pipelineStatement(): Statement {
    const { names, evaluate } = this.#declaration();
    this.#refuseRest();
    return (scope) => {
      const value = evaluate(scope);
      const [name] = names;
      return name === undefined ? { text: textOf(value), scope } : { text: '', scope: withVariable(scope, name, value) };
    };
  }

  #conditional(word: 'if' | 'with' | 'range'): Statement {
    const { names, evaluate } = this.#declaration();
    this.#refuseRest();
    const { body, end } = this.block();
    const otherwise = end === 'else' ? this.#otherwise() : undefined;
    if (end === undefined) throw wrong(`{{${word}}} has no {{end}}`);
    const other = (scope: Scope) => otherwise?.(scope).text ?? '';
    return (scope) => {
      const value = evaluate(scope);
      if (word === 'range') return { text: this.#repeat(scope, names, value, body) ?? other(scope), scope };
      const named = names[0] === undefined ? scope : withVariable(scope, names[0], value);
      const inner = word === 'with' ? { ...named, dot: value } : named;
      return { text: isTrue(value) ? body(inner).text : other(named), scope };
    };
  }

  /** Behind `else`: `{{else if …}}`, or a block. */
  #otherwise(): Statement {
    this.#tokens.shift();
    const word = this.#peek();
    if (word === 'if' || word === 'with') {
      this.#tokens.shift();
      return this.#conditional(word);
    }
    const { body, end } = this.block();
    if (end !== 'end') throw wrong('{{else}} has no {{end}}');
    return body;
  }

  /** Undefined: there is nothing to go over. */
  #repeat(scope: Scope, names: readonly string[], value: unknown, body: Statement): string | undefined {
    const entries = entriesOf(value);
    if (entries.length === 0) return undefined;
    return entries
      .map(([key, each]) => {
        const [first, second] = names;
        const own = second === undefined ? each : key;
        const named = first === undefined ? scope : withVariable(scope, first, own);
        const inner = second === undefined ? named : withVariable(named, second, each);
        return body({ ...inner, dot: each }).text;
      })
      .join('');
  }

  #declaration(): { readonly names: readonly string[]; readonly evaluate: Evaluate } {
    const at = this.#tokens.findIndex((each) => each.trimEnd() === ':=');
    const names = at < 0 ? [] : this.#tokens.splice(0, at + 1).map((each) => each.trimEnd());
    return { names: names.filter((name) => name.startsWith('$')), evaluate: this.#pipeline() };
  }

  #pipeline(): Evaluate {
    let evaluate = this.#command(undefined);
    while (this.#peek() === '|') {
      this.#tokens.shift();
      evaluate = this.#command(evaluate);
    }
    return evaluate;
  }

  /** `piped`: what goes in as the last argument. */
  #command(piped: Evaluate | undefined): Evaluate {
    const name = this.#peek() ?? '';
    const called = isFunction(name) ? undefined : this.#operand();
    if (called === undefined) this.#tokens.shift();
    const operands: Evaluate[] = [];
    while (![undefined, '|', ')'].includes(this.#peek())) operands.push(this.#operand());
    if (piped) operands.push(piped);
    if (called) return operands.length === 0 ? called : method(name, called, operands);
    const call = functionNamed(name, this.#options);
    return (scope) =>
      call(
        operands.map((operand) => operand(scope)),
        this.#options,
      );
  }

  #operand(): Evaluate {
    const written = this.#tokens.shift() ?? '';
    const word = written.trimEnd();
    if (word === '(') {
      const inner = this.#pipeline();
      const closing = this.#tokens.shift() ?? '';
      if (closing.trimEnd() !== ')') throw wrong('a parenthesis is not closed');
      return this.#fields(inner, closing);
    }
    if (word.startsWith('.')) return this.#fields(rootField(word), written);
    if (word.startsWith('$')) return this.#fields(variable(word), written);
    if (isFunction(word)) return () => functionNamed(word, this.#options)([], this.#options);
    const literal = literalOf(word);
    return () => literal;
  }

  /** `.A.B` behind an operand, without a blank. */
  #fields(inner: Evaluate, before: string): Evaluate {
    let evaluate = inner;
    for (let last = before; !last.endsWith(' ') && /^\.\w/.test(this.#tokens[0] ?? ''); ) {
      last = this.#tokens.shift()!;
      const name = last.trimEnd().slice(1);
      const from = evaluate;
      evaluate = (scope) => fieldOf(from(scope), name);
    }
    return evaluate;
  }

  #refuseRest(): void {
    if (this.#tokens.length > 0) throw wrong(`unexpected ${this.#peek()}`);
  }
}

const inTurn =
  (statements: readonly Statement[]): Statement =>
  (scope) => {
    let inner = scope;
    let text = '';
    for (const statement of statements) {
      const said = statement(inner);
      text += said.text;
      inner = said.scope;
    }
    return { text, scope };
  };

/** `.Label "x"`: a member that is a function. */
const method =
  (name: string, called: Evaluate, operands: readonly Evaluate[]): Evaluate =>
  (scope) => {
    const member = called(scope);
    if (typeof member !== 'function') throw wrong(`${name} has arguments, and is no function`);
    return member(...operands.map((operand) => operand(scope))) as unknown;
  };

const isFunction = (word: string): boolean => Object.hasOwn(functions, word);

/** A mistyped first name is an error; what an image does not say further down is no value. */
function rootField(word: string): Evaluate {
  const name = word.slice(1);
  if (name === '') return ({ dot }) => dot;
  return ({ dot, variables }) => {
    const found = fieldOf(dot, name);
    if (found !== undefined || dot !== variables.get('$')) return found;
    if (Object.hasOwn(dot as object, name)) return undefined;
    throw wrong(
      `there is no .${name}: there are ${Object.keys(dot as object)
        .map((each) => `.${each}`)
        .join(', ')}`,
    );
  };
}

function variable(name: string): Evaluate {
  return ({ variables }) => {
    if (variables.has(name)) return variables.get(name);
    throw wrong(`undefined variable ${name}`);
  };
}

function literalOf(word: string): unknown {
  if (word.startsWith('`')) return word.slice(1, -1);
  if (word === 'nil') return undefined;
  try {
    return JSON.parse(word) as unknown;
  } catch {
    throw wrong(`function ${JSON.stringify(word)} is not defined`);
  }
}

const withVariable = (scope: Scope, name: string, value: unknown): Scope => ({
  ...scope,
  variables: new Map([...scope.variables, [name, value]]),
});

function entriesOf(value: unknown): (readonly [unknown, unknown])[] {
  if (Array.isArray(value)) return [...value.entries()];
  if (typeof value === 'object' && value !== null) return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  if (value === undefined || value === null) return [];
  throw wrong(`range goes over lists and maps, not over ${JSON.stringify(value)}`);
}
