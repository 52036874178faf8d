// How the displays for people end: warnings, the failing steps' last lines, the image, the path of the full log.

import type { Paint } from '../paint.ts';
import { oneLine } from '../text.ts';
import type { BuildState, StepState } from './build-state.ts';

export function warningLines({ warnings }: BuildState, paint: Paint): string[] {
  if (warnings.length === 0) return [];
  const heading = warnings.length === 1 ? '1 warning found:' : `${warnings.length} warnings found:`;
  const lines = warnings.map(({ rule, message, where: { file, range } }) =>
    oneLine(` - ${rule}: ${message} (${file}:${range.startLine})`),
  );
  return ['', ...[heading, ...lines].map((line) => paint('yellow', line))];
}

/** `image sha256:…`, its names, what was exported, the log. */
export function resultLines({ result, log }: BuildState, image: string, paint: Paint): string[] {
  const row = (label: string, text: string) => `${paint('dim', label.padEnd(9))}${oneLine(text)}`;
  return [
    '',
    ...(result?.names ?? []).map((name) => row('named', paint('bold', oneLine(name)))),
    row('image', image),
    ...(result?.exported ?? []).map((path) => row('exported', path)),
    ...(log ? [row('log', log)] : []),
  ];
}

/** The last lines of the steps that failed, as buildx frames them. */
export function failureLines({ steps }: BuildState, paint: Paint, quote: (text: string) => string): string[] {
  return steps
    .filter(({ outcome, lastLines }) => outcome === 'failed' && lastLines.length > 0)
    .flatMap((step) => stepLog(step, paint, quote));
}

const rule = '------';

function stepLog({ name, lastLines }: StepState, paint: Paint, quote: (text: string) => string): string[] {
  const lines = lastLines.map(({ sinceMs, text }) => `${(sinceMs / 1000).toFixed(3)} ${quote(text)}`);
  return [rule, ` > ${paint('bold', oneLine(name))}:`, ...lines, rule];
}
