// The world as a command sees it: streams, environment, library. Only main.ts reaches for `process`'s own. Types only.

import type { Readable, Writable } from 'node:stream';
import type { Library } from './library/library.ts';

/** A stream that may be a terminal. */
export type Output = Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number };

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Surroundings {
  /** Opened when asked for: merely touching it changes how the terminal's other readers fare. */
  readonly stdin: () => Readable & { readonly isTTY?: boolean };
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Environment;
  readonly library: Library;
}
