// What a progress display is. Types only.

import type { BuildEvent } from '../../build/events.ts';
import type { Surroundings } from '../surroundings.ts';

/** Shows one build. After `show`s comes one `succeed` or `fail`; then the terminal is as it was. */
export interface Progress {
  readonly show: (event: BuildEvent) => void;
  /** Before the build: something that whoever reads along should know. Only displays for people have it. */
  readonly note?: (line: string) => void;
  /** The build was asked to stop, and will. */
  readonly interrupt: () => void;
  readonly succeed: (image: string) => void;
  /** Says what went wrong; returns the exit code. */
  readonly fail: (error: unknown) => number;
}

export interface ProgressSurroundings extends Pick<Surroundings, 'stdout' | 'stderr' | 'env'> {
  readonly isDebug: boolean;
}
