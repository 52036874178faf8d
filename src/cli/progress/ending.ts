// How the displays for people end: warnings, the failing steps' last lines, the image, the path of the full log.

import type { Warning } from '../../dockerfile/warning.ts';
import { excerptLines } from '../excerpt.ts';
import type { Paint } from '../paint.ts';
import { oneLine } from '../text.ts';
import type { BuildState, StepState } from './build-state.ts';

/** Warnings, and then what was made: names, image, what was exported, the log. */
export function successLines(state: BuildState, image: string, paint: Paint, isDebug: boolean): string[] {
  const row = (label: string, text: string) => `${paint('dim', label.padEnd(9))}${oneLine(text)}`;
  return [
    ...warningLines(state, paint, isDebug),
    ...(state.warnings.length > 0 ? [''] : []),
    ...missingLines(state, paint),
    ...(state.result?.names ?? []).map((name) => row('named', name)),
    row('image', image),
    ...(state.lock ? [row('locked', `by ${state.lock.path}`)] : []),
    ...(state.result?.exported ?? []).map((path) => row('exported', path)),
    ...(state.log ? [row('log', state.log)] : []),
  ];
}

/** What comes before the error itself: the failing steps' last lines, and warnings. */
export function failureLines(state: BuildState, paint: Paint, quote: (text: string) => string, isDebug: boolean): string[] {
  const failed = state.steps.filter(({ outcome, lastLines }) => outcome === 'failed' && lastLines.length > 0);
  return [...failed.flatMap((step) => stepLog(step, paint, quote)), ...warningLines(state, paint, isDebug)];
}

/** After the error. A build that had no step yet has nothing more in its log. */
export function logLine({ log, steps }: BuildState, paint: Paint): string[] {
  return log && steps.length > 0 ? [`${paint('dim', 'log:')} ${oneLine(log)}`] : [];
}

function missingLines({ lock }: BuildState, paint: Paint): string[] {
  return (lock?.missing ?? []).map((name) =>
    paint('warning', oneLine(`warning: ${lock?.path} does not have ${name}, which is what it is now: tbuild lock adds it`)),
  );
}

/** As buildx lists them. */
function warningLines({ warnings }: BuildState, paint: Paint, isDebug: boolean): string[] {
  if (warnings.length === 0) return [];
  const count = warnings.length === 1 ? '1 warning found' : `${warnings.length} warnings found`;
  const heading = paint('warning', ` ${count}${isDebug ? '' : ' (use tbuild --debug to expand)'}:`);
  return [heading, ...warnings.flatMap((warning) => warningText(warning, isDebug))];
}

function warningText({ rule, message, description, url, where }: Warning, isDebug: boolean): string[] {
  const short = oneLine(` - ${rule}: ${message} (line ${where.range.startLine})`);
  if (!isDebug) return [short];
  return [short, description, ...(url === undefined ? [] : [`More info: ${url}`]), ...excerptLines(where, undefined, false), ''];
}

const rule = '------';

/** As buildx frames it. */
function stepLog({ name, lastLines }: StepState, paint: Paint, quote: (text: string) => string): string[] {
  const lines = lastLines.map(({ sinceMs, text }) => `${(sinceMs / 1000).toFixed(3)} ${quote(text)}`);
  return [rule, ` > ${paint('bold', oneLine(name))}:`, ...lines, rule];
}
