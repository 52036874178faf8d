// `--progress=plain`: lines to read in a CI log and to grep, `#5 0.123 text`. Every line of a step starts with its number.

import type { BuildEvent } from '../../build/events.ts';
import { choosePaint } from '../paint.ts';
import { exitCodeOf, reportError } from '../report-error.ts';
import { oneColouredLine, oneLine } from '../text.ts';
import { BuildState, type StepState } from './build-state.ts';
import { failureLines, resultLines, warningLines } from './ending.ts';
import type { Progress, ProgressSurroundings } from './progress.ts';

export function plainProgress(surroundings: ProgressSurroundings): Progress {
  const { stderr, env } = surroundings;
  const paint = choosePaint(stderr, env);
  const state = new BuildState();
  // Colours that a RUN makes although it has no terminal are wanted, and pass, as with buildx.
  const quote = env.NO_COLOR ? oneLine : oneColouredLine;
  const write = (lines: readonly string[]) => lines.length > 0 && stderr.write(`${lines.join('\n')}\n`);
  return {
    show: (event) => write(eventLines(state, event, quote)),
    interrupt: () => write([paint('yellow', 'canceling; press ^C again to end at once')]),
    succeed: (image) => write([...warningLines(state, paint), ...resultLines(state, image, paint)]),
    fail: (error) => {
      write([...failureLines(state, paint, quote), ...warningLines(state, paint)]);
      reportError(error, surroundings);
      if (state.log) write([`${paint('dim', 'log:')} ${state.log}`]);
      return exitCodeOf(error);
    },
  };
}

/** What an event adds to the log; the state takes it in. */
function eventLines(state: BuildState, event: BuildEvent, quote: (text: string) => string): string[] {
  const isNew = 'step' in event && (state.steps[event.step - 1]?.outcome ?? 'waiting') === 'waiting';
  const completed = state.apply(event);
  if (!('step' in event)) return [];
  const step = state.steps[event.step - 1]!;
  const output = completed.map(({ sinceMs, text }) => `${(sinceMs / 1000).toFixed(3)} ${quote(text)}`);
  const lines = [...(isNew ? [oneLine(step.name)] : []), ...output, ...sayingsOf(event, step)];
  const prefixed = lines.map((line) => `#${step.number} ${line}`);
  return step.outcome === 'running' ? prefixed : [...prefixed, ''];
}

type StepEvent = Extract<BuildEvent, { step: number }>;

function sayingsOf(event: StepEvent, step: StepState): string[] {
  switch (event.type) {
    case 'status':
      return [oneLine(event.text)];
    case 'done':
      return [event.cached ? 'CACHED' : `DONE ${(step.durationMs(event.time) / 1000).toFixed(1)}s`];
    case 'failed':
      return [`ERROR: ${oneLine(event.error.message)}`];
    case 'canceled':
      return ['CANCELED'];
    default:
      return [];
  }
}
