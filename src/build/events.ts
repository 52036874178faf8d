// What a build says while it goes on. src/cli renders it; the library hands it to its caller; `--progress=rawjson` prints it as it is.
// Times are milliseconds since the epoch.

import type { ErrorObject } from '../base/error-object.ts';
import type { Reason } from '../cache/builds.ts';
import type { Warning } from '../dockerfile/warning.ts';

export type BuildEvent =
  /** All steps, in order, before any of them starts. Numbers in later events are positions in this list, from 1. */
  | {
      readonly type: 'plan';
      readonly time: number;
      readonly steps: readonly { readonly step: number; readonly name: string; readonly stage: string }[];
    }
  | { readonly type: 'start'; readonly time: number; readonly step: number }
  /** The step is executed, and why: what is not as it was. */
  | { readonly type: 'miss'; readonly time: number; readonly step: number; readonly why: Reason }
  /** A piece of a RUN's output, as it came: no line ends are added or waited for. */
  | {
      readonly type: 'output';
      readonly time: number;
      readonly step: number;
      readonly stream: 'stdout' | 'stderr';
      readonly text: string;
    }
  /** Something worth a line while a step goes on: "transferring 12.3MB", "network: host". */
  | { readonly type: 'status'; readonly time: number; readonly step: number; readonly text: string }
  | {
      readonly type: 'done';
      readonly time: number;
      readonly step: number;
      readonly cached: boolean;
      readonly layer: string | undefined;
    }
  | { readonly type: 'failed'; readonly time: number; readonly step: number; readonly error: ErrorObject }
  | { readonly type: 'canceled'; readonly time: number; readonly step: number }
  | { readonly type: 'warning'; readonly time: number; readonly warning: Warning }
  /** There is a lock beside the Dockerfile. `missing`: what it says nothing of, which is what it is now. */
  | { readonly type: 'lock'; readonly time: number; readonly path: string; readonly missing: readonly string[] }
  /** The last event of a build that succeeded. `image` is the config digest (`sha256:…`). */
  | {
      readonly type: 'result';
      readonly time: number;
      readonly image: string;
      readonly names: readonly string[];
      readonly exported: readonly string[];
      readonly log: string;
    }
  /** The last event of a build that failed. */
  | { readonly type: 'error'; readonly time: number; readonly error: ErrorObject; readonly log: string };
