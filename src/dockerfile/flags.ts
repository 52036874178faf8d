// The flags of one instruction against those it takes (BuildKit: instructions/bflag.go).

import { dockerfileError } from './errors.ts';
import { suggestion } from './suggest.ts';

/** `list`: may be given more than once. */
export type FlagKinds = Readonly<Record<string, 'boolean' | 'text' | 'list'>>;

export class Flags {
  private readonly values = new Map<string, string[]>();

  constructor(written: readonly string[], kinds: FlagKinds) {
    for (const flag of written) {
      const equals = flag.indexOf('=');
      const name = equals < 0 ? flag.slice(2) : flag.slice(2, equals);
      const value = equals < 0 ? undefined : flag.slice(equals + 1);
      const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
      if (kind === undefined) throw wrong(`unknown flag: --${name}${suggestion(name, Object.keys(kinds))}`);
      const earlier = this.values.get(name);
      if (earlier !== undefined && kind !== 'list') throw wrong(`duplicate flag specified: --${name}`);
      this.values.set(name, [...(earlier ?? []), kind === 'boolean' ? readBoolean(name, value) : readText(name, value)]);
    }
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

const wrong = (message: string) => dockerfileError('flag', message);
