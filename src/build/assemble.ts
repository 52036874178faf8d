// The image's config: what planning decided, the layers' diff IDs, and when each was made (a cached step keeps its time, so the image its ID).

import type { Digest } from '../base/digest.ts';
import type { HistoryEntry } from '../oci/config.ts';
import { encodeImageConfig } from '../oci/image-config.ts';
import type { StepId, Target } from '../plan/graph.ts';

/** `createdAt`: milliseconds since the epoch. Entries without a layer have the time of the last layer before them. */
export function assembleConfig(
  target: Target,
  diffIds: readonly Digest[],
  createdAt: (step: StepId) => number | undefined,
): Buffer {
  let created: string | undefined;
  const history = target.history.map(({ entry, step }): HistoryEntry => {
    const made = step === undefined ? undefined : createdAt(step);
    if (made !== undefined) created = new Date(made).toISOString();
    created = entry.created ?? created;
    return created === undefined ? entry : { ...entry, created };
  });
  const { platform, author, config } = target;
  return encodeImageConfig({
    ...(created !== undefined && { created }),
    ...(author !== undefined && { author }),
    architecture: platform.architecture,
    os: platform.os,
    ...(platform.variant !== undefined && { variant: platform.variant }),
    config,
    rootfs: { type: 'layers', diff_ids: diffIds },
    history,
  });
}
