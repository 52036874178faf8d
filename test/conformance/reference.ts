// Answers of reference implementations, kept beside the checkout: read where they are, never copied.

import { existsSync, readFileSync } from 'node:fs';
import { describe, test } from 'vitest';

const directory = new URL('../../../shared/conformance/', import.meta.url);

export const referenceUrl = (file: string): URL => new URL(file, directory);

/** A suite over one file of answers; where the answers are not on this machine it is skipped, and says so. */
export function describeReference(title: string, file: string, body: (text: string) => void): void {
  const path = referenceUrl(file);
  if (existsSync(path)) {
    describe(title, () => body(readFileSync(path, 'utf8')));
    return;
  }
  console.warn(`skipped: ${title}: no ${file} in ../shared/conformance`);
  test.skip(`${title}: no ${file} in ../shared/conformance`, () => {});
}

/** `failed` in one readable piece. */
export function report(failed: readonly unknown[]): string {
  return failed
    .slice(0, 10)
    .map((row) => JSON.stringify(row))
    .join('\n');
}
