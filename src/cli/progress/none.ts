// `--progress=none`: nothing but an error.

import type { Progress, ProgressSurroundings } from './progress.ts';
import { quietProgress } from './quiet.ts';

export function noProgress(surroundings: ProgressSurroundings): Progress {
  return { ...quietProgress(surroundings), succeed: () => {} };
}
