// A comparison with the answers of a reference implementation. They are kept beside the checkout: read where they are, never copied.

import { existsSync, readFileSync } from 'node:fs';
import { TbuildError } from '../../src/base/errors.ts';

export const referenceUrl = (file: string): URL => new URL(file, new URL('../../../shared/conformance', import.meta.url));

export interface Suite {
  readonly name: string;
  /** Of answers, below the directory. */
  readonly file: string;
  /** How many there are. */
  readonly total: number;
  /** `text`: the file's. */
  readonly compare: (text: string) => Outcome | Promise<Outcome>;
}

export interface Outcome {
  /** How many were compared. */
  readonly rows: number;
  readonly deviations: readonly Deviation[];
}

export interface Deviation {
  readonly case: string;
  /** What was expected, and what came. */
  readonly difference: string;
}

/** Undefined: the answers are not on this machine. */
export function readAnswers(file: string): string | undefined {
  const url = referenceUrl(file);
  return existsSync(url) ? readFileSync(url, 'utf8') : undefined;
}

export function compareRows<Row>(rows: readonly Row[], compare: (row: Row) => Deviation | undefined): Outcome {
  return { rows: rows.length, deviations: rows.flatMap((row) => compare(row) ?? []) };
}

/** What came, or the message of the error. */
export function attempt<T>(action: () => T): T | string {
  try {
    return action();
  } catch (error) {
    if (error instanceof TbuildError) return error.message;
    throw error;
  }
}

export const difference = (expected: unknown, actual: unknown): string =>
  `expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`;
