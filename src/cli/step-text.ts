// Steps of earlier builds as `why` and `builds inspect` show them.

import type { StepDetails } from '../build/history/steps.ts';
import { oneLine } from './text.ts';
import { formatSeconds } from './units.ts';

export interface StepTextOptions {
  /** Lists are whole. */
  readonly all: boolean;
  /** What was asked for: then more is said of it. */
  readonly isOne: boolean;
}

const PATHS_SHOWN = 10;

export function describeSteps(steps: readonly StepDetails[], options: StepTextOptions): string {
  return steps.map((step) => describeStep(step, options)).join('');
}

function describeStep(step: StepDetails, { all, isOne }: StepTextOptions): string {
  const { outcome, number } = step;
  const lines = [
    `#${number} ${oneLine(outcome.name.replaceAll(/\s+/g, ' '))}${outcome.line === undefined ? '' : ` (line ${outcome.line})`}`,
  ];
  const row = (label: string, text: string) => lines.push(`   ${label.padEnd(9)} ${text}`);
  row(outcome.how, howLine(step));
  if (outcome.why?.hint !== undefined) row('hint', outcome.why.hint);
  if (all || isOne) for (const change of moreChanges(step, all)) row('', change);
  const { observed, produced, exact } = step;
  if (all || isOne) {
    if (step.layer !== undefined) row('layer', step.layer);
    row('saw', `${plural(exact, 'input')} as a whole, ${plural(observed.length, 'observation')}`);
    if (all)
      for (const { kind, path, answer } of observed)
        row('', oneLine(`${kind} /${path.replaceAll('\0', ' ')} ${answer}`.trimEnd()));
  }
  if (produced) {
    row('made', madeLine(produced));
    const shown = all ? produced : isOne ? produced.slice(0, PATHS_SHOWN) : [];
    for (const { kind, path } of shown) row('', oneLine(`${kind} ${path}`));
    if (isOne && shown.length < produced.length) row('', `and ${produced.length - shown.length} more: --all lists them`);
  }
  return `${lines.join('\n')}\n`;
}

function howLine({ outcome, made, madeInMs }: StepDetails): string {
  if (outcome.how === 'cached') {
    if (made === undefined) return 'its result was removed since';
    return `made ${new Date(made).toISOString()}${madeInMs === undefined ? '' : `, in ${formatSeconds(madeInMs)}`}`;
  }
  const took = outcome.durationMs === undefined ? '' : `${formatSeconds(outcome.durationMs)}`;
  return [took, oneLine(outcome.why?.text ?? '')].filter((text) => text !== '').join('; ');
}

/** Those that the sentence had no room for. */
function moreChanges({ outcome: { why } }: StepDetails, all: boolean): string[] {
  const changes = [...(why?.changes ?? []), ...(why?.because ?? []).flatMap(({ changes: below }) => below)];
  if (!all || changes.length <= 3) return [];
  return [...changes.map(oneLine), ...(why?.more === undefined ? [] : [`and ${why.more} more`])];
}

function madeLine(produced: NonNullable<StepDetails['produced']>): string {
  const count = (kind: string) => produced.filter((each) => each.kind === kind).length;
  if (produced.length === 0) return 'nothing';
  return [`${count('A')} added`, `${count('C')} changed`, `${count('D')} deleted`]
    .filter((text) => !text.startsWith('0 '))
    .join(', ');
}

const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

export function jsonStep({ number, outcome, made, madeInMs, layer, exact, observed, produced }: StepDetails, all: boolean) {
  const { name, stage, line, how, durationMs, why, key, trace } = outcome;
  return {
    step: number,
    name,
    stage,
    line,
    how,
    durationMs,
    why,
    key,
    trace,
    layer,
    ...(made !== undefined && { made: new Date(made).toISOString(), madeInMs }),
    exactInputs: exact,
    observations: all ? observed : observed.length,
    produced: all ? produced : produced?.length,
  };
}
