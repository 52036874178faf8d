// One picture of a build, in buildx's look: a header, a line per step, the last output below the steps that run.
// Pure: a state, a size and a time in, lines out, none wider than the terminal and together no higher.

import type { Paint } from '../paint.ts';
import { cutToWidth, oneLine, widthOf } from '../text.ts';
import type { BuildState, StepState } from './build-state.ts';

export interface FrameSize {
  readonly columns: number;
  readonly rows: number;
  readonly nowMs: number;
  /** The last one stays and may be higher than the terminal: all steps, no output. */
  readonly isFinal: boolean;
}

/** Lines of output below a running step, as buildx. */
const outputLinesMax = 6;

export function frameLines(state: BuildState, size: FrameSize, paint: Paint): string[] {
  const started = state.steps.filter(({ outcome }) => outcome !== 'waiting');
  const header = headerLine(state, size, paint);
  if (size.isFinal) return [header, ...started.flatMap((step) => [stepLine(step, size, paint), ...whyLines(step, size, paint)])];
  // One row for the header, one for the cursor below the block.
  const rows = Math.max(1, size.rows - 2);
  const details = new Map(started.map((step) => [step, detailLines(step, size, paint)]));
  const detailCount = [...details.values()].reduce((sum, lines) => sum + lines.length, 0);
  // Where rows are short, half of them are for what the running steps say.
  const shown = mostRelevant(started, rows - Math.min(detailCount, Math.floor(rows / 2)));
  const running = shown.filter(({ outcome }) => outcome === 'running').length;
  const detailRows = Math.floor((rows - shown.length) / Math.max(1, running));
  const lastDetails = (step: StepState) => (detailRows < 1 ? [] : details.get(step)!.slice(-detailRows));
  return [header, ...shown.flatMap((step) => [stepLine(step, size, paint), ...lastDetails(step)])];
}

function headerLine(state: BuildState, { columns, nowMs, isFinal }: FrameSize, paint: Paint): string {
  const durationMs = (state.endMs ?? nowMs) - (state.startMs ?? nowMs);
  const counts = `(${state.finishedCount}/${state.steps.length})`;
  const text = `[+] Building ${seconds(durationMs)} ${counts}`;
  if (isFinal) return cutToWidth(state.result ? `${text} FINISHED` : text, columns);
  const note = state.isInterrupted ? ' canceling; ^C again ends it at once' : '';
  return paint(state.isInterrupted ? 'cancel' : 'bold', cutToWidth(text + note, columns));
}

/** When there are more steps than rows: those that run and failed, then the last ones to end; in the plan's order. */
function mostRelevant(steps: readonly StepState[], count: number): readonly StepState[] {
  if (steps.length <= count) return steps;
  const rank = ({ outcome, endMs }: StepState) =>
    outcome === 'running' || outcome === 'failed' ? Number.POSITIVE_INFINITY : endMs;
  // Infinity - Infinity is NaN, which || takes for equal.
  const kept = new Set([...steps].sort((a, b) => rank(b) - rank(a) || b.number - a.number).slice(0, count));
  return steps.filter((step) => kept.has(step));
}

const outcomes = {
  waiting: { word: '', style: undefined },
  running: { word: '', style: undefined },
  done: { word: '', style: 'run' },
  cached: { word: 'CACHED ', style: 'run' },
  failed: { word: 'ERROR ', style: 'error' },
  canceled: { word: 'CANCELED ', style: 'cancel' },
} as const;

function stepLine(step: StepState, { columns, nowMs }: FrameSize, paint: Paint): string {
  const { word, style } = outcomes[step.outcome];
  const time = seconds(step.durationMs(nowMs));
  const left = cutToWidth(` => ${word}${oneLine(step.name)}`, columns - time.length - 2);
  const line = cutToWidth(left + ' '.repeat(Math.max(1, columns - 1 - widthOf(left) - time.length)) + time, columns);
  return style === undefined ? line : paint(style, line);
}

/** In the last picture: why it was executed. */
function whyLines({ why }: StepState, { columns }: FrameSize, paint: Paint): string[] {
  return why === '' ? [] : [paint('dim', cutToWidth(` => => not cached: ${oneLine(why)}`, columns))];
}

/** What stands below a running step: the last thing it said of itself, and the end of its output. */
function detailLines(step: StepState, { columns }: FrameSize, paint: Paint): string[] {
  if (step.outcome !== 'running') return [];
  const status = [
    ...(step.why === '' ? [] : [`not cached: ${oneLine(step.why)}`]),
    ...(step.status === '' ? [] : [oneLine(step.status)]),
  ];
  const output = [...step.lastLines.map(({ text }) => text), ...step.unfinishedLines];
  return [...status, ...output.slice(-outputLinesMax).map((text) => `# ${oneLine(text)}`)].map((text) =>
    paint('dim', cutToWidth(` => => ${text}`, columns)),
  );
}

function seconds(durationMs: number): string {
  return `${(Math.max(0, durationMs) / 1000).toFixed(1)}s`;
}
