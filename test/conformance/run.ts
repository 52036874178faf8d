// `npm run conformance`: the language and 90 builds against the answers of reference implementations, as a table. The answers stand beside the
// checkout, and where they do not there is nothing to compare. Exits non-zero for a deviation that docs/compatibility.md does not argue:
// one that is argued has the case's name there, in backticks. `npm run conformance -- parse words` compares these suites alone.

import { readFileSync } from 'node:fs';
import { builds } from './builds.ts';
import { ignore, patternTable } from './ignore.ts';
import { parse } from './parse.ts';
import { type Outcome, readAnswers, type Suite } from './suite.ts';
import { envVarTable, words, wordsTable } from './words.ts';

const all = [parse, words, envVarTable, wordsTable, ignore, patternTable, builds];
const argued = readFileSync(new URL('../../docs/compatibility.md', import.meta.url), 'utf8');
const wanted = process.argv.slice(2);
const chosen = wanted.length === 0 ? all : all.filter(({ name }) => wanted.includes(name));

let isFailed = chosen.length === 0;
if (isFailed) console.log(`there is no such suite; there are ${all.map(({ name }) => name).join(', ')}`);
for (const suite of chosen) {
  const answers = readAnswers(suite.file);
  if (answers === undefined) {
    row(suite, '-', `no ${suite.file} in ../shared/conformance: nothing to compare with`);
    continue;
  }
  const began = Date.now();
  const isPassed = printOutcome(suite, await suite.compare(answers), Date.now() - began);
  if (!isPassed) isFailed = true;
}
process.exitCode = isFailed ? 1 : 0;

/** Whether it agrees, but for what is argued. */
function printOutcome(suite: Suite, { rows, deviations }: Outcome, tookMs: number): boolean {
  const isArgued = (name: string) => argued.includes(`\`${name}\``);
  const others = deviations.filter((deviation) => !isArgued(deviation.case));
  const kept = deviations.length - others.length;
  const notes = [
    `${(tookMs / 1000).toFixed(1)} s`,
    ...(kept > 0 ? [`${kept} kept, see docs/compatibility.md`] : []),
    ...(rows === suite.total ? [] : [`of ${suite.total} known cases`]),
  ];
  row(suite, `${rows - deviations.length}/${rows}`, notes.join('; '));
  for (const { case: name, difference } of others) console.log(`    ${name}: ${difference.replaceAll('\n', '\n        ')}`);
  return others.length === 0 && rows >= suite.total;
}

function row({ name }: Suite, count: string, note: string): void {
  console.log(`${name.padEnd(30)} ${count.padStart(11)}   ${note}`);
}
