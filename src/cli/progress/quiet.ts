// `--progress=quiet`: the image ID on standard output, or the error.

import { exitCodeOf } from '../../base/error-object.ts';
import { reportError } from '../report-error.ts';
import type { Progress, ProgressSurroundings } from './progress.ts';

export function quietProgress(surroundings: ProgressSurroundings): Progress {
  return {
    show: () => {},
    interrupt: () => {},
    succeed: (image) => surroundings.stdout.write(`${image}\n`),
    fail: (error) => {
      reportError(error, surroundings);
      return exitCodeOf(error);
    },
  };
}
