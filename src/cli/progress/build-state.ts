// What the events of a build have said so far, for the displays that show it. Keeps the last lines of each step's
// output and no more: the whole is in the log.

import type { BuildEvent } from '../../build/events.ts';
import type { Warning } from '../../dockerfile/warning.ts';
import { LineJoiner } from './line-joiner.ts';

export type Outcome = 'waiting' | 'running' | 'done' | 'cached' | 'failed' | 'canceled';

export interface LogLine {
  /** Since the step's start. */
  readonly sinceMs: number;
  /** As it came: colours, carriage returns and worse. */
  readonly text: string;
}

/** Lines of a step's output that are kept: what is shown below it when it fails. */
export const keptLinesMax = 20;

export class StepState {
  readonly number: number;
  /** As shown: one line. */
  readonly name: string;
  outcome: Outcome = 'waiting';
  startMs = 0;
  endMs = 0;
  status = '';
  /** Why it is executed; empty: it is cached, or there is nothing to compare with. */
  why = '';
  readonly lastLines: LogLine[] = [];
  readonly #joiners = { stdout: new LineJoiner(), stderr: new LineJoiner() };

  constructor(number: number, name: string) {
    this.number = number;
    this.name = name.replace(/\s+/g, ' ').trim();
  }

  durationMs(nowMs: number): number {
    if (this.outcome === 'waiting') return 0;
    return Math.max(0, (this.outcome === 'running' ? nowMs : this.endMs) - this.startMs);
  }

  /** What has no line end yet: a prompt, a progress bar. */
  get unfinishedLines(): string[] {
    return [this.#joiners.stdout.rest, this.#joiners.stderr.rest].filter((text) => text !== '');
  }

  /** Returns the lines that the piece completed. */
  addOutput(stream: 'stdout' | 'stderr', text: string, timeMs: number): LogLine[] {
    return this.#keep(this.#joiners[stream].push(text), timeMs);
  }

  /** The last line may lack its end. */
  flushOutput(timeMs: number): LogLine[] {
    return this.#keep([...this.#joiners.stdout.flush(), ...this.#joiners.stderr.flush()], timeMs);
  }

  #keep(texts: readonly string[], timeMs: number): LogLine[] {
    const lines = texts.map((text): LogLine => ({ sinceMs: Math.max(0, timeMs - this.startMs), text }));
    this.lastLines.push(...lines.slice(-keptLinesMax));
    this.lastLines.splice(0, this.lastLines.length - keptLinesMax);
    return lines;
  }
}

export class BuildState {
  /** In the order of the plan. */
  readonly steps: StepState[] = [];
  readonly warnings: Warning[] = [];
  startMs: number | undefined;
  endMs: number | undefined;
  isInterrupted = false;
  lock: Extract<BuildEvent, { type: 'lock' }> | undefined;
  result: Extract<BuildEvent, { type: 'result' }> | undefined;
  /** Path of the full log. */
  log: string | undefined;

  /** Returns the lines of output that the event completed. */
  apply(event: BuildEvent): LogLine[] {
    this.startMs ??= event.time;
    if ('step' in event) return this.#applyToStep(event, this.#step(event.step));
    if (event.type === 'plan') for (const { step, name } of event.steps) this.steps[step - 1] = new StepState(step, name);
    else if (event.type === 'warning') this.warnings.push(event.warning);
    else if (event.type === 'lock') this.lock = event;
    else this.#end(event);
    return [];
  }

  get finishedCount(): number {
    return this.steps.filter(({ outcome }) => outcome !== 'waiting' && outcome !== 'running').length;
  }

  /** The step of an event, even if no plan announced it. */
  #step(number: number): StepState {
    for (let missing = this.steps.length + 1; missing <= number; missing++) {
      this.steps.push(new StepState(missing, `step ${missing}`));
    }
    return this.steps[number - 1]!;
  }

  #applyToStep(event: Extract<BuildEvent, { step: number }>, step: StepState): LogLine[] {
    if (step.outcome === 'waiting') {
      step.startMs = event.time;
      step.outcome = 'running';
    }
    if (event.type === 'start') return [];
    if (event.type === 'output') return step.addOutput(event.stream, event.text, event.time);
    if (event.type === 'miss') {
      if (event.why.kind !== 'new') step.why = event.why.text;
      return [];
    }
    if (event.type === 'status') {
      step.status = event.text;
      return [];
    }
    step.outcome = event.type === 'done' ? (event.cached ? 'cached' : 'done') : event.type;
    step.endMs = event.time;
    return step.flushOutput(event.time);
  }

  #end(event: Extract<BuildEvent, { log: string }>): void {
    this.endMs = event.time;
    this.log = event.log;
    if (event.type === 'result') this.result = event;
  }
}
