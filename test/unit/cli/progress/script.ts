// Events of builds, written short: what the displays are driven with.

import type { ErrorObject } from '../../../../src/base/error-object.ts';
import type { BuildEvent } from '../../../../src/build/events.ts';
import type { Reason } from '../../../../src/cache/builds.ts';

/** Sat, 21 Nov 2026 08:00:00 GMT. */
export const startMs = Date.UTC(2026, 10, 21, 8);

export const image = 'sha256:0f3a7c1be1b2c8a6c2d3f0a1b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7' as const;
export const log = '/store/builds/1/log';

/** Events at times in milliseconds from the start. */
export const at = {
  plan: (atMs: number, ...names: string[]): BuildEvent => ({
    type: 'plan',
    time: startMs + atMs,
    steps: names.map((name, index) => ({ step: index + 1, name, stage: '' })),
  }),
  start: (atMs: number, step: number): BuildEvent => ({ type: 'start', time: startMs + atMs, step }),
  output: (atMs: number, step: number, text: string, stream: 'stdout' | 'stderr' = 'stdout'): BuildEvent => ({
    type: 'output',
    time: startMs + atMs,
    step,
    stream,
    text,
  }),
  status: (atMs: number, step: number, text: string): BuildEvent => ({ type: 'status', time: startMs + atMs, step, text }),
  miss: (atMs: number, step: number, text: string, kind: Reason['kind'] = 'changed'): BuildEvent => ({
    type: 'miss',
    time: startMs + atMs,
    step,
    why: { kind, text, changes: [text], because: [] },
  }),
  done: (atMs: number, step: number): BuildEvent => ({
    type: 'done',
    time: startMs + atMs,
    step,
    cached: false,
    layer: undefined,
  }),
  cached: (atMs: number, step: number): BuildEvent => ({
    type: 'done',
    time: startMs + atMs,
    step,
    cached: true,
    layer: undefined,
  }),
  failed: (atMs: number, step: number, error: ErrorObject): BuildEvent => ({ type: 'failed', time: startMs + atMs, step, error }),
  canceled: (atMs: number, step: number): BuildEvent => ({ type: 'canceled', time: startMs + atMs, step }),
  warning: (atMs: number, rule: string, message: string, line: number): BuildEvent => ({
    type: 'warning',
    time: startMs + atMs,
    warning: {
      rule,
      description: '',
      message,
      url: undefined,
      where: { file: 'Dockerfile', text: '', range: { startLine: line, startColumn: 0, endLine: line, endColumn: 1 } },
    },
  }),
  result: (atMs: number, names: string[], exported: string[] = []): BuildEvent => ({
    type: 'result',
    time: startMs + atMs,
    image,
    names,
    exported,
    log,
  }),
  error: (atMs: number, error: ErrorObject): BuildEvent => ({ type: 'error', time: startMs + atMs, error, log }),
};
