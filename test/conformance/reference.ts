// Tests over answers of reference implementations: where the answers are not on this machine they are skipped, and say so.

import { describe, test } from 'vitest';
import { readAnswers, referenceUrl } from './suite.ts';

export { referenceUrl };

export function describeReference(title: string, file: string, body: (text: string) => void): void {
  const text = readAnswers(file);
  if (text !== undefined) {
    describe(title, () => body(text));
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
