// WORKDIR: makes its directory, and the missing ones above it, owned by the user of the moment. What is there stays as it is.
// That user is resolved as --chown's is, not as a RUN's: one that is not there yet is root (BuildKit: llb.Mkdir with WithUser).

import type { WorkdirOperation } from '../plan/graph.ts';
import { holds, observe, rootView } from './observe.ts';
import { Placement } from './place.ts';
import { indexesOf, type Prepared, type State, type Workshop, writeLayer } from './step.ts';

export function prepareWorkdir(workshop: Workshop, operation: WorkdirOperation, below: State): Prepared {
  const indexes = indexesOf(workshop, below);
  return {
    record: { version: 1, kind: 'workdir', path: operation.path, user: operation.user },
    exact: [],
    inputs: below.map(({ id }) => id),
    matches: (trace) => holds(trace.gaps[0] ?? [], rootView(indexes)),
    views: () => [rootView(indexes)],
    execute: async () => {
      const observer = observe(indexes);
      const [user = '', group] = operation.user.split(':', 2);
      const owner = operation.user === '' ? { uid: 0, gid: 0 } : observer.ownerOf(user, group);
      const made = workshop.times.made ?? Math.floor(Date.now() / 1000);
      const placement = new Placement(observer.tree, { destination: operation.path, owner, mode: undefined, mtime: [made, 0] });
      placement.addDirectory();
      const summary = await writeLayer(workshop, workshop.driver, [], placement.entries());
      return { summary, gaps: [observer.observations()] };
    },
  };
}
