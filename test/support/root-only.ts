// What an account that is not root cannot test, and why: the one list of it. Where the tests are run by one, these are skipped, and printed.

import { isRoot } from './own-files.ts';

/** Of a file of tests: all of it, or by the names of tests (as vitest joins them: `suite > test`). */
type Reasons = string | Readonly<Record<string, string>>;
export const rootOnly: Readonly<Record<string, Reasons>> = {};

/** Why a test is skipped here; undefined: it is run. */
export function reasonToSkip(file: string, name: string): string | undefined {
  if (isRoot) return undefined;
  const reasons = rootOnly[file];
  return typeof reasons === 'string' ? reasons : reasons?.[name];
}

export function sayWhatIsSkipped(): void {
  if (isRoot) return;
  for (const [file, reasons] of Object.entries(rootOnly)) {
    if (typeof reasons === 'string') console.log(`skipped without root: ${file}: ${reasons}`);
    else for (const [name, reason] of Object.entries(reasons)) console.log(`skipped without root: ${file} > ${name}: ${reason}`);
  }
}
