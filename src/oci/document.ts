// Narrows JSON that others wrote: each function takes a value and where it stands, and gives it with a type or throws
// `image/bad-document` naming the place. Keys go through Object.fromEntries, so that `__proto__` is a key like any other.

import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';

export type Members = ReadonlyMap<string, unknown>;

/** `name` is what messages call the document: `the manifest sha256:…`. */
export function parseJson(bytes: Uint8Array, name: string): unknown {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw badDocument(name, 'is not UTF-8');
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw badDocument(name, `is not JSON: ${(cause as Error).message}`);
  }
}

export function badDocument(where: string, what: string): TbuildError {
  return new TbuildError('image/bad-document', `${where} ${what}`);
}

export function asMembers(value: unknown, where: string): Members {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw badDocument(where, 'is not an object');
  return new Map(Object.entries(value));
}

export function asString(value: unknown, where: string): string {
  if (typeof value !== 'string') throw badDocument(where, 'is not a string');
  return value;
}

/** Of Go's int64, which may lie beyond what JavaScript counts exactly: a duration of months in nanoseconds. */
export function asWholeNumber(value: unknown, where: string): number {
  if (!Number.isInteger(value) || Math.abs(value as number) >= 2 ** 63) throw badDocument(where, 'is not an integer');
  return value as number;
}

export function asInteger(value: unknown, where: string): number {
  if (!Number.isSafeInteger(value)) throw badDocument(where, 'is not an integer');
  return value as number;
}

export function asBoolean(value: unknown, where: string): boolean {
  if (typeof value !== 'boolean') throw badDocument(where, 'is not true or false');
  return value;
}

export function asSize(value: unknown, where: string): number {
  const size = asInteger(value, where);
  if (size < 0) throw badDocument(where, 'is negative');
  return size;
}

export function asDigest(value: unknown, where: string): Digest {
  const text = asString(value, where);
  if (!/^sha256:[0-9a-f]{64}$/.test(text))
    throw badDocument(where, `is not a sha256 digest: ${JSON.stringify(text.slice(0, 100))}`);
  return text as Digest;
}

export function asList<T>(value: unknown, where: string, item: (value: unknown, where: string) => T): T[] {
  if (!Array.isArray(value)) throw badDocument(where, 'is not a list');
  return value.map((each, position) => item(each, `${where}[${position}]`));
}

export function asRecord<T>(value: unknown, where: string, item: (value: unknown, where: string) => T): Record<string, T> {
  return Object.fromEntries(
    [...asMembers(value, where)].map(([key, each]) => [key, item(each, `${where}[${JSON.stringify(key.slice(0, 100))}]`)]),
  );
}

/** A member that may be absent; Go's encoders write null for what is empty, so null is absent too. */
export function optional<T>(
  members: Members,
  key: string,
  where: string,
  item: (value: unknown, where: string) => T,
): T | undefined {
  const value = members.get(key);
  return value === undefined || value === null ? undefined : item(value, `${where}, ${key}`);
}

/** Only what is there: an optional member that is undefined is no member (exactOptionalPropertyTypes). */
export function present<T extends object>(members: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
