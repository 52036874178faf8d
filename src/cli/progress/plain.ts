// `--progress=plain`: lines to read in a CI log and to grep, `#5 0.123 text`. Every line of a step starts with its number.

import { exitCodeOf } from '../../base/error-object.ts';
import type { BuildEvent } from '../../build/events.ts';
import { choosePaint } from '../paint.ts';
import { reportError } from '../report-error.ts';
import { oneColouredLine, oneLine } from '../text.ts';
import { BuildState, type StepState } from './build-state.ts';
import { failureLines, logLine, successLines } from './ending.ts';
import type { Progress, ProgressSurroundings } from './progress.ts';

export function plainProgress(surroundings: ProgressSurroundings): Progress {
  const { stderr, env, isDebug } = surroundings;
  const paint = choosePaint(stderr, env);
  // Colours that a RUN makes although it has no terminal are wanted, and pass, as with buildx.
  const quote = env.NO_COLOR ? oneLine : oneColouredLine;
  const log = new PlainLog(quote);
  const { state } = log;
  const write = (lines: readonly string[]) => lines.length > 0 && stderr.write(`${lines.join('\n')}\n`);
  return {
    show: (event) => write(log.add(event)),
    note: (line) => write([paint('warning', `warning: ${line}`)]),
    interrupt: () => write([paint('cancel', 'canceling; press ^C again to end at once')]),
    succeed: (image) => write(successLines(state, image, paint, isDebug)),
    fail: (error) => {
      write(failureLines(state, paint, quote, isDebug));
      reportError(error, surroundings);
      write(logLine(state, paint));
      return exitCodeOf(error);
    },
  };
}

type StepEvent = Extract<BuildEvent, { step: number }>;

/** A status that changes all the time ("transferring 12.3MB") gets a line a second, and one when it is over. */
const statusMs = 1000;

/** Turns events into lines. */
class PlainLog {
  readonly #quote: (text: string) => string;
  readonly #statuses = new Map<number, { shownMs: number; pending: string | undefined }>();
  readonly state = new BuildState();

  constructor(quote: (text: string) => string) {
    this.#quote = quote;
  }

  add(event: BuildEvent): string[] {
    const isNew = 'step' in event && (this.state.steps[event.step - 1]?.outcome ?? 'waiting') === 'waiting';
    const completed = this.state.apply(event);
    if (!('step' in event)) return [];
    const step = this.state.steps[event.step - 1]!;
    const output = completed.map(({ sinceMs, text }) => `${(sinceMs / 1000).toFixed(3)} ${this.#quote(text)}`);
    const lines = [...(isNew ? [oneLine(step.name)] : []), ...output, ...this.#sayings(event, step)];
    const prefixed = lines.map((line) => `#${step.number} ${line}`.trimEnd());
    return step.outcome === 'running' ? prefixed : [...prefixed, ''];
  }

  #sayings(event: StepEvent, step: StepState): string[] {
    switch (event.type) {
      case 'miss':
        return [`not cached: ${oneLine(event.why.text)}`];
      case 'status':
        return this.#status(event);
      case 'done':
        return [
          ...this.#lastStatus(event.step),
          event.cached ? 'CACHED' : `DONE ${(step.durationMs(event.time) / 1000).toFixed(1)}s`,
        ];
      case 'failed':
        return [...this.#lastStatus(event.step), `ERROR: ${oneLine(event.error.message)}`];
      case 'canceled':
        return ['CANCELED'];
      default:
        return [];
    }
  }

  #status({ step, time, text }: Extract<BuildEvent, { type: 'status' }>): string[] {
    const shownMs = this.#statuses.get(step)?.shownMs ?? Number.NEGATIVE_INFINITY;
    const isDue = time - shownMs >= statusMs;
    this.#statuses.set(step, { shownMs: isDue ? time : shownMs, pending: isDue ? undefined : text });
    return isDue ? [oneLine(text)] : [];
  }

  #lastStatus(step: number): string[] {
    const pending = this.#statuses.get(step)?.pending;
    return pending === undefined ? [] : [oneLine(pending)];
  }
}
