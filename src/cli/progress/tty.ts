// `--progress=tty`: the steps of a build as a block that is redrawn in place, in buildx's look.
// Holds the terminal only while it draws: the cursor is back however the process ends, short of SIGKILL.

import { exitCodeOf } from '../../base/error-object.ts';
import { choosePaint } from '../paint.ts';
import { reportError } from '../report-error.ts';
import { oneColouredLine, oneLine } from '../text.ts';
import { BuildState } from './build-state.ts';
import { failureLines, logLine, successLines } from './ending.ts';
import { frameLines } from './frame.ts';
import type { Progress, ProgressSurroundings } from './progress.ts';
import { Screen } from './screen.ts';

/** Ten frames a second: what is shown is tenths of seconds. */
const frameMs = 100;

export function ttyProgress(surroundings: ProgressSurroundings): Progress {
  const { stderr, env, isDebug } = surroundings;
  const paint = choosePaint(stderr, env);
  const quote = env.NO_COLOR ? oneLine : oneColouredLine;
  const state = new BuildState();
  const screen = new Screen(stderr);
  let timer: NodeJS.Timeout | undefined;

  const draw = () => screen.draw(frameLines(state, { ...screen.size, nowMs: Date.now(), isFinal: false }, paint));
  const close = () => {
    clearInterval(timer);
    const steps =
      state.startMs === undefined ? [] : frameLines(state, { ...screen.size, nowMs: Date.now(), isFinal: true }, paint);
    screen.finish(steps);
  };
  const write = (lines: readonly string[]) => lines.length > 0 && stderr.write(`${lines.join('\n')}\n`);

  return {
    show: (event) => {
      state.apply(event);
      if (timer !== undefined) return;
      draw();
      timer = setInterval(draw, frameMs);
    },
    note: (line) => write([paint('warning', `warning: ${line}`)]),
    interrupt: () => {
      state.isInterrupted = true;
      if (timer !== undefined) draw();
    },
    succeed: (image) => {
      close();
      write(['', ...successLines(state, image, paint, isDebug)]);
    },
    fail: (error) => {
      close();
      write(failureLines(state, paint, quote, isDebug));
      reportError(error, surroundings);
      write(logLine(state, paint));
      return exitCodeOf(error);
    },
  };
}
