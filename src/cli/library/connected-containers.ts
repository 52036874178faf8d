// What is done to containers, joined to the floors below. Most of it needs the records only; what starts or removes, a workplace.

import type { Containers } from '../../containers/containers.ts';
import type { ContainerLibrary } from './containers.ts';
import { withRecords, withWorkplace } from './open-store.ts';

export const containerLibrary: ContainerLibrary = {
  createContainer: async ({ showPull, ...options }) => {
    const { createContainer } = await import('../../containers/create.ts');
    return withWorkplace(({ place }) => createContainer(place, options, showPull));
  },
  runContainer: async (options) => (await import('../../containers/run.ts')).runContainer(options),
  startContainer: async (name, attach) => {
    const { startContainer } = await import('../../containers/start.ts');
    return startContainer(name, attach);
  },
  containersToBoot: async () => {
    const { containersToBoot } = await import('../../containers/boot.ts');
    return act(async (_, containers) => containersToBoot(containers));
  },
  stopContainer: (name, options) => act(async ({ stop }, containers) => stop(containers, name, options)),
  restartContainer: async (name, options) => {
    const isAsked = await act(async ({ restart }, containers) => restart(containers, name, options));
    if (!isAsked) await containerLibrary.startContainer(name);
  },
  killContainer: (name, signal) => act(async ({ kill }, containers) => kill(containers, name, signal)),
  pauseContainer: (name) => act(async ({ pause }, containers) => pause(containers, name)),
  unpauseContainer: (name) => act(async ({ unpause }, containers) => unpause(containers, name)),
  waitForContainer: (name) => act(async ({ waitFor }, containers) => waitFor(containers, name)),
  attachToContainer: (name, options) => act(async ({ attach }, containers) => attach(containers, name, options)),
  execInContainer: async (name, options) => {
    const { prepareExec } = await import('../../containers/exec.ts');
    const execute = await withWorkplace(({ place }) => prepareExec(place, name, options));
    return execute();
  },
  listPorts: async (name) => {
    const { connectionsOf } = await import('../../containers/connections.ts');
    return act(async ({ find }, containers) => {
      const container = await find(containers, name);
      return connectionsOf(container, container.state()).published;
    });
  },
  renameContainer: async (name, newName) => {
    const { Containers } = await import('../../containers/containers.ts');
    return withWorkplace(async ({ place }) => {
      const containers = new Containers(place);
      await containers.rename(containers.find(name), newName);
    });
  },
  updateContainer: async (name, change) => {
    const { updateContainer } = await import('../../containers/update.ts');
    return act(async (_, containers) => updateContainer(containers, name, change));
  },
  pruneContainers: async (isMeant) => {
    const { pruneContainers } = await import('../../containers/prune.ts');
    return withWorkplace(({ place }) => pruneContainers(place, isMeant));
  },
  removeContainers: async (names, options) => {
    const { removeContainers } = await import('../../containers/remove.ts');
    return withWorkplace(({ place }) => removeContainers(place, names, options));
  },
};

/** What needs the records only. */
async function act<T>(work: (verbs: typeof import('../../containers/act.ts'), containers: Containers) => Promise<T>): Promise<T> {
  const [verbs, { Containers }] = await Promise.all([
    import('../../containers/act.ts'),
    import('../../containers/containers.ts'),
  ]);
  return withRecords((records) => work(verbs, new Containers(records)));
}
