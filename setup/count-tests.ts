// Adds up vitest's JSON reports: names what was skipped, then "N passed, N failed" as the last line.
// A report that is missing counts as one failure: its run ended before it could write one. Fails when nothing passed.
import { readFileSync } from 'node:fs';

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

let passed = 0;
let failed = 0;
for (const file of process.argv.slice(2)) {
  const report = readReport(file);
  if (report === undefined) {
    console.log(`no report: ${file}`);
    failed += 1;
    continue;
  }
  passed += report.numPassedTests;
  failed += report.numFailedTests;
  for (const { name, status, assertionResults } of report.testResults) {
    // A file that cannot even be loaded has no tests to count.
    if (status === 'failed' && assertionResults.every((test) => test.status !== 'failed')) failed += 1;
    for (const test of assertionResults) {
      if (test.status !== 'passed' && test.status !== 'failed') console.log(`${test.status}: ${name}: ${test.fullName}`);
    }
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = passed > 0 && failed === 0 ? 0 : 1;

function readReport(file: string): Report | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}
