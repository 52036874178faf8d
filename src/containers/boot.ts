// What runs again after the machine has started: containers whose policy says so whatever ended them, and that nobody has stopped (moby: daemon/daemon.go, restore).

import { type Container, type Containers, isAlive } from './containers.ts';

/** The oldest first, for later ones may need them. */
export function containersToBoot(containers: Containers): Container[] {
  return containers
    .list()
    .filter((container) => {
      const { status, stoppedByUser, startedAt } = container.state();
      if (isAlive(status) || startedAt === 0) return false;
      const { name } = container.spec.restart;
      return name === 'always' || (name === 'unless-stopped' && !stoppedByUser);
    })
    .sort((a, b) => a.created - b.created);
}
