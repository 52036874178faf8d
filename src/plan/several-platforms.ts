// The graphs of several platforms as one. A step that is told the same on the same inputs is there once: contexts, what is copied onto nothing,
// and whole stages that run on the build's own platform and ask for no target.

import { canonicalJson } from '../base/digest.ts';
import type { Graph, Operation, Plan, Step, StepId } from './graph.ts';

export function joinGraphs(graphs: readonly Graph[]): Plan {
  const steps: Step[] = [];
  const known = new Map<string, StepId>();
  const targets = graphs.map(({ steps: own, target }) => {
    const places: StepId[] = [];
    const placeOf = (id: StepId | undefined) => (id === undefined ? undefined : places[id]);
    for (const step of own) {
      const parent = placeOf(step.parent);
      const op = withInputs(step.op, placeOf);
      const key = canonicalJson({ parent, op, noCache: step.noCache });
      const id = known.get(key) ?? steps.push({ ...step, id: steps.length, parent, op }) - 1;
      known.set(key, id);
      places.push(id);
    }
    const history = target.history.map((line) => ({ ...line, step: placeOf(line.step) }));
    const scans = target.scans?.map(({ name, of }) => ({ name, of: of === 'context' ? of : placeOf(of) }));
    return { ...target, state: placeOf(target.state), history, ...(scans && { scans }) };
  });
  return { steps, targets };
}

/** The operation with the places of the steps that it takes from. */
function withInputs(op: Operation, placeOf: (id: StepId | undefined) => StepId | undefined): Operation {
  if (op.kind === 'copy') {
    const remotes = op.remotes.map((remote) => ({ ...remote, from: placeOf(remote.from) as StepId }));
    return { ...op, from: placeOf(op.from), remotes };
  }
  if (op.kind !== 'run') return op;
  return { ...op, mounts: op.mounts.map((mount) => ('from' in mount ? { ...mount, from: placeOf(mount.from) } : mount)) };
}
