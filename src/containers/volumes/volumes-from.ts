// `--volumes-from`: the volumes and directories that another container has are this one's too. Pure.

import type { ContainerMount, ContainerSpec } from '../spec.ts';

/** What of `spec` is taken, but for places that `own` has. `readonly`: with `:ro`; what is read-only there is so here. Anonymous volumes are its own still. */
export function volumesFrom(
  spec: Pick<ContainerSpec, 'mounts'>,
  readonly: boolean,
  own: readonly Pick<ContainerMount, 'target'>[],
): ContainerMount[] {
  const taken = new Set(own.map(({ target }) => target));
  return spec.mounts.flatMap((mount) => {
    if ((mount.type !== 'bind' && mount.type !== 'volume') || taken.has(mount.target)) return [];
    const shared = mount.type === 'volume' ? { ...mount, noCopy: true } : mount;
    return [{ ...shared, readonly: shared.readonly || readonly }];
  });
}
