// The check WastedBytes: what later layers of a build delete or replace of what earlier ones added. Answered from the layers' indexes when all
// is built; loaded only where it was asked for. The base image's layers are nobody's mistake here, and are left out.

import type { Checks } from '../dockerfile/checks.ts';
import { ownRules } from '../dockerfile/rules.ts';
import { type Step, stepsBelow, type Target } from '../plan/graph.ts';
import type { Layers } from '../snapshots/layers.ts';
import type { Solved } from '../solve/solver.ts';

/** Less is not worth a word. */
const minBytes = 100_000;

interface Added {
  readonly bytes: number;
  readonly step: Step;
}

export function checkWaste(
  target: Target,
  steps: readonly Step[],
  solved: ReadonlyMap<number, Solved>,
  layers: Layers,
  checks: Checks,
): void {
  /** What is visible so far, by path. */
  const visible = new Map<string, Added>();
  const directories = new Set<string>();
  for (const step of stepsBelow(target, steps)) {
    const layer = solved.get(step.id)?.layer;
    if (layer === undefined || step.where === undefined) continue;
    const wasted = new Map<Step, number>();
    const hide = (path: string) => {
      const hidden = visible.get(path);
      if (hidden === undefined) return;
      visible.delete(path);
      wasted.set(hidden.step, (wasted.get(hidden.step) ?? 0) + hidden.bytes);
    };
    const index = layers.index(layer.id);
    for (let i = 0; i < index.count; i++) {
      const { path, type, opaque, size } = index.at(i);
      hide(path);
      const replaces = type === 'dir' ? opaque : directories.delete(path);
      if (replaces) for (const below of pathsBelow(visible, path, step)) hide(below);
      if (type === 'dir') directories.add(path);
      if (type === 'file') visible.set(path, { bytes: size, step });
    }
    for (const [earlier, bytes] of wasted) {
      if (bytes < minBytes) continue;
      const line = String(earlier.where!.range.startLine);
      checks.report(ownRules.wastedBytes, { where: step.where, comments: [] }, formatBytes(bytes), line);
    }
  }
}

/** What `step` itself has added there is not hidden by it. */
function pathsBelow(visible: ReadonlyMap<string, Added>, directory: string, step: Step): string[] {
  const prefix = directory === '' ? '' : `${directory}/`;
  return [...visible].flatMap(([path, added]) => (path.startsWith(prefix) && added.step !== step ? [path] : []));
}

/** As docker shows sizes: powers of ten. */
function formatBytes(bytes: number): string {
  return bytes < 1e6
    ? `${Math.round(bytes / 1e3)}kB`
    : bytes < 1e9
      ? `${(bytes / 1e6).toFixed(1)}MB`
      : `${(bytes / 1e9).toFixed(2)}GB`;
}
