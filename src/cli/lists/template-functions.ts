// What templates can do with values: Go's own functions, those that docker adds, and how values read. Pure.

import { TbuildError } from '../../base/errors.ts';
import { Struct } from '../../base/struct.ts';

export interface Options {
  /** What `json` begins further lines with; 0: it is one line, as docker has it. */
  readonly indent: number;
  /** The row of column names: what changes a value leaves these as they are. */
  readonly isHeader?: true;
}

type Call = (args: readonly unknown[], options: Options) => unknown;

const compare =
  (holds: (a: never, b: never) => boolean): Call =>
  ([a, b]) =>
    holds(a as never, b as never);

export const functions: Readonly<Record<string, Call>> = {
  and: (args) => args.find((arg) => !isTrue(arg)) ?? args.at(-1),
  or: (args) => args.find(isTrue) ?? args.at(-1),
  not: ([value]) => !isTrue(value),
  eq: ([value, ...others]) => others.some((other) => other === value),
  ne: compare((a, b) => a !== b),
  lt: compare((a, b) => a < b),
  le: compare((a, b) => a <= b),
  gt: compare((a, b) => a > b),
  ge: compare((a, b) => a >= b),
  index: ([value, ...keys]) => keys.reduce(elementOf, value),
  join: ([list, separator]) => listOf(list).map(textOf).join(textOf(separator)),
  json: ([value], { indent }) => JSON.stringify(value ?? null, undefined, indent),
  len: ([value]) => (typeof value === 'string' ? Buffer.byteLength(value) : Object.keys(Object(value)).length),
  lower: ([text]) => textOf(text).toLowerCase(),
  pad: ([text, before, after]) => padded(textOf(text), Number(before), Number(after)),
  print: (args) => args.map((arg, at) => (isApart(args[at - 1], arg, at) ? ' ' : '') + textOf(arg)).join(''),
  printf: ([format, ...args]) => formatText(textOf(format), args),
  println: (args) => `${args.map(textOf).join(' ')}\n`,
  split: ([text, separator]) => textOf(text).split(textOf(separator)),
  title: ([text]) => textOf(text).replace(/(^|\s)\S/g, (letter) => letter.toUpperCase()),
  truncate: ([text, length]) => textOf(text).slice(0, Number(length)),
  upper: ([text]) => textOf(text).toUpperCase(),
};

/** docker/cli templates.HeaderFunctions. */
const keepingHeaders = new Set(['json', 'split', 'join', 'title', 'lower', 'upper', 'truncate']);

export function functionNamed(name: string, { isHeader }: Options): Call {
  return isHeader && keepingHeaders.has(name) ? ([text]) => text : functions[name]!;
}

/** Nothing stays nothing. */
function padded(text: string, before: number, after: number): string {
  return text === '' ? '' : ' '.repeat(widthAllowed(before)) + text + ' '.repeat(widthAllowed(after));
}

const widthAllowed = (columns: number): number => Math.max(0, Math.min(columns, 1000)) || 0;

/** Go names members of structures in its own way: `.RootFS.DiffIDs` is `rootfs.diff_ids` in JSON. */
export function fieldOf(value: unknown, name: string): unknown {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'object' || Array.isArray(value))
    throw new TbuildError('usage/bad-value', `--format: can't evaluate field ${name} in ${JSON.stringify(value)}`);
  if (Object.hasOwn(value, name)) return (value as Record<string, unknown>)[name];
  const plain = plainName(name);
  const found = Object.entries(value).find(([key]) => plainName(key) === plain);
  if (!found && value instanceof Struct) throw new TbuildError('usage/bad-value', `--format: map has no entry for key "${name}"`);
  return found?.[1];
}

const plainName = (name: string): string => name.replace(/[_-]/g, '').toLowerCase();

/** Go's Sprint puts a blank between what are no texts. */
const isApart = (before: unknown, value: unknown, at: number): boolean =>
  at > 0 && typeof before !== 'string' && typeof value !== 'string';

function elementOf(value: unknown, key: unknown): unknown {
  if (Array.isArray(value)) {
    if (typeof key === 'number' && key >= 0 && key < value.length) return value[key];
    throw new TbuildError('usage/bad-value', `--format: index ${textOf(key)} is out of range of ${value.length}`);
  }
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.hasOwn(value, textOf(key)) ? (value as Record<string, unknown>)[textOf(key)] : undefined;
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : value === undefined ? [] : [value]);

export function isTrue(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** As Go prints it. */
export function textOf(value: unknown): string {
  if (value === undefined || value === null) return '<no value>';
  if (Array.isArray(value)) return `[${value.map(textOf).join(' ')}]`;
  if (typeof value !== 'object' || value.toString !== Object.prototype.toString) return String(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${entries.map(([key, each]) => `${key}:${textOf(each)}`).join(' ')}]`;
}

function formatText(format: string, args: readonly unknown[]): string {
  const left = [...args];
  return format.replace(/%(-?)(\d*)([a-z%])/gi, (_, minus: string, width: string, verb: string) => {
    if (verb === '%') return '%';
    const value = left.shift();
    const text = verb === 'q' ? JSON.stringify(textOf(value)) : textOf(value);
    const columns = widthAllowed(Number(width));
    return minus ? text.padEnd(columns) : text.padStart(columns);
  });
}
