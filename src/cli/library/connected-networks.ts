// What the command line needs of networks, on the store that is there (connected.ts).

import { TbuildError } from '../../base/errors.ts';
import type { NetworksPlace } from '../../containers/networks/join.ts';
import type { Networks } from '../../containers/networks/networks.ts';
import type { Library } from './library.ts';

type OfNetworks =
  | 'listNetworks'
  | 'createNetwork'
  | 'inspectNetwork'
  | 'removeNetwork'
  | 'pruneNetworks'
  | 'connectNetwork'
  | 'disconnectNetwork';

export const connectedNetworks: Pick<Library, OfNetworks> = {
  listNetworks: () =>
    withNetworks(({ place, networks, membersOf }) =>
      networks.list().map((network) => ({ network, isUsed: membersOf(place, network).length > 0 })),
    ),
  createNetwork: (options) => withNetworks(({ networks }) => networks.create(options)),
  inspectNetwork: async (name) => {
    const { inspectNetwork } = await import('../../containers/networks/inspect.ts');
    return withNetworks(({ place, networks, membersOf }) => {
      const network = networks.find(name);
      return inspectNetwork(network, membersOf(place, network));
    });
  },
  removeNetwork: (name) => withNetworks(({ place, networks, removeNetwork }) => removeNetwork(place, networks.find(name))),
  pruneNetworks: (isMeant) => withNetworks(({ place, pruneNetworks }) => pruneNetworks(place, isMeant)),
  connectNetwork: (network, container, as) =>
    withNetworks(({ place, networks, connectContainer }) =>
      connectContainer(place, networks.find(network), place.containers.find(container), as),
    ),
  disconnectNetwork: (network, container, { force }) =>
    withNetworks(async ({ place, networks, disconnectContainer }) => {
      const found = networks.find(network);
      try {
        await disconnectContainer(place, found, place.containers.find(container));
      } catch (error) {
        if (!force || !(error instanceof TbuildError) || error.code !== 'container/unknown') throw error;
      }
    }),
};

type Members = typeof import('../../containers/networks/members.ts');

async function withNetworks<T>(
  act: (opened: Members & { readonly place: NetworksPlace; readonly networks: Networks }) => T | Promise<T>,
): Promise<T> {
  const [{ openRecords }, { Containers }, { Networks }, members] = await Promise.all([
    import('../../images/records.ts'),
    import('../../containers/containers.ts'),
    import('../../containers/networks/networks.ts'),
    import('../../containers/networks/members.ts'),
  ]);
  const { store, layers } = openRecords();
  try {
    const place = { store, containers: new Containers({ store, layers }) };
    return await act({ ...members, place, networks: new Networks(place) });
  } finally {
    store.close();
  }
}
