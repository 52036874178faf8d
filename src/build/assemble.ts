// The image's config: what planning decided, the layers' diff IDs, and when each was made (a cached step keeps its time, so the image its ID).

import type { Digest } from '../base/digest.ts';
import type { HistoryEntry } from '../oci/config.ts';
import { encodeImageConfig } from '../oci/image-config.ts';
import type { StepId, Target } from '../plan/graph.ts';

/** `createdAt`: milliseconds since the epoch. `epoch`: SOURCE_DATE_EPOCH in seconds, which every line of this build has then. */
export function assembleConfig(
  target: Target,
  diffIds: readonly Digest[],
  createdAt: (step: StepId) => number | undefined,
  epoch: number | undefined,
): Buffer {
  const history = fillTimes(
    target.history.map(({ entry, step, isBase }): HistoryEntry => {
      if (epoch !== undefined && !isBase) return { ...entry, created: goTime(epoch * 1000) };
      const made = step === undefined || entry.created !== undefined ? undefined : createdAt(step);
      return made === undefined ? entry : { ...entry, created: goTime(made) };
    }),
  );
  const created = history.findLast((entry) => entry.created !== undefined)?.created;
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

/**
 * Lines without a time get that of the layer before them; those before this build's first layer get that layer's, so that they are not as old as
 * the base image (BuildKit: exporter/containerimage/writer.go, normalizeLayersAndHistory).
 */
function fillTimes(history: readonly HistoryEntry[]): HistoryEntry[] {
  const firstWithout = history.findIndex((entry) => entry.created === undefined);
  if (firstWithout < 0) return [...history];
  const isTimed = (entry: HistoryEntry) => entry.created !== undefined;
  let created = (history.slice(firstWithout).find(isTimed) ?? history.findLast(isTimed))?.created;
  return history.map((entry, position) => {
    if (entry.created !== undefined) {
      if (position > firstWithout) created = entry.created;
      return entry;
    }
    return created === undefined ? entry : { ...entry, created };
  });
}

/** RFC 3339 as Go writes it: no zeros at the end of the fraction. */
export function goTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.?0*Z$/, 'Z');
}
