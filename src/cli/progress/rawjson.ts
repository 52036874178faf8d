// `--progress=rawjson`: each event as it is, a JSON object a line, on standard error. docs/progress.md describes them.

import { exitCodeOf, toErrorObject } from '../../base/error-object.ts';
import type { BuildEvent } from '../../build/events.ts';
import type { Progress, ProgressSurroundings } from './progress.ts';

export function rawjsonProgress({ stderr }: ProgressSurroundings): Progress {
  let hasSaidError = false;
  const show = (event: BuildEvent) => {
    hasSaidError ||= event.type === 'error';
    stderr.write(`${JSON.stringify(event.type === 'warning' ? withoutText(event) : event)}\n`);
  };
  return {
    show,
    interrupt: () => {},
    succeed: () => {},
    fail: (error) => {
      // A build that never began says nothing itself; a program that reads events still gets one.
      if (!hasSaidError) show({ type: 'error', time: Date.now(), error: toErrorObject(error), log: '' });
      return exitCodeOf(error);
    },
  };
}

/** Not the whole Dockerfile with each finding. */
function withoutText({ warning, ...event }: Extract<BuildEvent, { type: 'warning' }>): object {
  const { file, range } = warning.where;
  return { ...event, warning: { ...warning, where: { file, range } } };
}
