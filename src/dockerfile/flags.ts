// The flags of one instruction against those it takes (BuildKit: instructions/bflag.go).

import { dockerfileError, locate, setPart, within } from './errors.ts';
import { suggestion } from './suggest.ts';
import type { Node } from './syntax.ts';

/** `list`: may be given more than once. */
export type FlagKinds = Readonly<Record<string, 'boolean' | 'text' | 'list'>>;

export class Flags {
  private readonly values = new Map<string, string[]>();

  constructor({ flags, places }: Pick<Node, 'flags' | 'places'>, kinds: FlagKinds) {
    for (const [index, flag] of flags.entries()) locate(places.flag(index), () => this.read(flag, kinds));
  }

  private read(flag: string, kinds: FlagKinds): void {
    const equals = flag.indexOf('=');
    const name = equals < 0 ? flag.slice(2) : flag.slice(2, equals);
    const value = equals < 0 ? undefined : flag.slice(equals + 1);
    const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
    if (kind === undefined) throw unknown(name, Object.keys(kinds));
    const earlier = this.values.get(name);
    if (earlier !== undefined && kind !== 'list') throw wrong(`duplicate flag specified: --${name}`);
    const read = within({ start: value ? equals + 1 : 0, end: flag.length }, () =>
      kind === 'boolean' ? readBoolean(name, value) : readText(name, value),
    );
    if (earlier === undefined) this.values.set(name, [read]);
    else earlier.push(read);
  }

  /** Undefined: not given, or empty. */
  text(name: string): string | undefined {
    return this.values.get(name)?.[0] || undefined;
  }

  list(name: string): readonly string[] {
    return this.values.get(name) ?? [];
  }

  /** Undefined: not given. */
  boolean(name: string): boolean | undefined {
    const value = this.values.get(name)?.[0];
    return value === undefined ? undefined : value === 'true';
  }
}

function readBoolean(name: string, value: string | undefined): string {
  if (value === '') throw wrong(`missing a value on flag: --${name}`);
  const lower = value?.toLowerCase() ?? 'true';
  if (lower !== 'true' && lower !== 'false') {
    throw wrong(`expecting boolean value for flag --${name}, not: ${value}`);
  }
  return lower;
}

function readText(name: string, value: string | undefined): string {
  if (value === undefined) throw wrong(`missing a value on flag: --${name}`);
  return value;
}

const unknown = (name: string, known: readonly string[]) =>
  setPart(wrong(`unknown flag: --${name}${suggestion(name, known)}`), { start: 0, end: name.length + 2 });

const wrong = (message: string) => dockerfileError('flag', message);
