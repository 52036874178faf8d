// The library as the commands call it, joined to the floors below. Each call loads what it needs, opens the store and closes it again.

import type { Container, Containers } from '../../containers/containers.ts';
import type { Volumes } from '../../containers/volumes/volumes.ts';
import type { Records } from '../../images/records.ts';
import type { Serve } from '../../native/serve.ts';
import { familiarName } from '../../oci/reference.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import { containerLibrary } from './connected-containers.ts';
import { connectedNetworks } from './connected-networks.ts';
import type { Library } from './library.ts';
import { withRecords, withWorkplace } from './open-store.ts';

export const library: Library = {
  ...containerLibrary,
  buildImage: async (options) => (await import('../../build/build.ts')).buildImage(options),
  checkBuild: async (options) => (await import('../../build/inspect.ts')).checkBuild(options),
  outlineBuild: async (options) => (await import('../../build/inspect.ts')).outlineBuild(options),
  listTargets: async (options) => (await import('../../build/inspect.ts')).listTargets(options),
  lockBuild: async (options) => (await import('../../build/lock/lock.ts')).lockBuild(options),
  openShell: async (options) => (await import('../../build/shell.ts')).openShell(options),
  takeOut: async (options) => (await import('../../build/take-out.ts')).takeOut(options),
  listContainers: async (options) => {
    const { listContainers } = await import('../../containers/listing.ts');
    return withContainers((place) => listContainers(place, options), options.hasSizes);
  },
  inspectContainer: async (nameOrId, { hasSize }) => {
    const [{ describeContainer }, { inspectContainer }] = await Promise.all([
      import('../../containers/listing.ts'),
      import('../../containers/inspect.ts'),
    ]);
    return withContainers(async (place) => {
      const listed = await describeContainer(place, nameOrId, { hasSize });
      return inspectContainer(listed, { volumePath: (name) => place.store.path('volumes', name, '_data') });
    }, hasSize);
  },
  listProcesses: async (nameOrId, options) => {
    const { listProcesses } = await import('../../containers/top.ts');
    return withContainers(({ containers }) => listProcesses(containers.find(nameOrId), options));
  },
  sampleContainers: async (names, options) => {
    const { sampleContainers } = await import('../../containers/stats.ts');
    return withContainers(({ containers }) => sampleContainers(containers, names, options));
  },
  readEvents: async (options) => {
    const { readEvents } = await import('../../containers/events.ts');
    return withRecords(({ store }) => readEvents(store, options));
  },
  diskUsage: async () => {
    const [{ diskUsage }, { Containers }] = await Promise.all([
      import('../../containers/disk-usage.ts'),
      import('../../containers/containers.ts'),
    ]);
    return withWorkplace(({ place, images }) => diskUsage(place, images, new Containers(place)));
  },
  pruneImages: async (options) => {
    const [{ pruneImages }, { Containers }] = await Promise.all([
      import('../../containers/prune-images.ts'),
      import('../../containers/containers.ts'),
    ]);
    return withWorkplace(async ({ place, images }) =>
      pruneImages({ ...place, images, containers: new Containers(place) }, options),
    );
  },
  readLog: async (nameOrId, options) => {
    const { logAttributes, readLog } = await import('../../containers/logs.ts');
    return withContainers(({ containers }) => {
      const container = containers.find(nameOrId);
      return { entries: readLog(container, options), attributes: logAttributes(container.spec) };
    });
  },
  listImages: () => withRecords(({ images }) => images.listTops()),
  inspectImage: async (name, platform) => {
    const { inspectImage } = await import('../../images/describe.ts');
    return withRecords(({ images }) =>
      inspectImage(images.resolveFor(name, platform), platform ? undefined : images.resolveIndex(name)),
    );
  },
  imageHistory: async (name, platform) => {
    const { imageHistory } = await import('../../images/describe.ts');
    return withRecords(({ images, layers }) => imageHistory(images.resolveFor(name, platform), layers));
  },
  describeContents: async (name, { format, platform, epoch }) => {
    const [{ describeContents }, { version }] = await Promise.all([
      import('../../images/image-sbom.ts'),
      import('../../base/version.ts'),
    ]);
    return withRecords((records) => {
      const image = records.images.resolveFor(name, platform);
      const names = records.images.resolveIndex(name)?.names ?? image.names;
      const known = { name: nameAmong(names, name), epoch, tool: `tbuild-${version}` };
      return describeContents(records, image, format, known);
    });
  },
  tagImage: (source, target) => withRecords(({ images }) => void images.tag(source, target)),
  removeImage: async (name, { force }) => {
    const { Containers, isAlive } = await import('../../containers/containers.ts');
    return withWorkplace(async ({ place, images }) => {
      const containers = new Containers(place);
      await containers.sweep();
      const usersOf = (image: string) =>
        containers.usersOf(image).map(({ id, state }) => ({ id, isRunning: isAlive(state().status) }));
      return images.remove(name, { force, usersOf });
    });
  },
  loadImages: async (options) => {
    const { loadImages } = await import('../../images/load.ts');
    return withWorkplace(({ place, images }) => loadImages(place, images, options));
  },
  importImage: async (options) => {
    const { importImage } = await import('../../images/import.ts');
    return withWorkplace(({ place, images }) => importImage(place, images, options));
  },
  login: async (options) => (await import('../../registry/login.ts')).login({ ...options, env: process.env }),
  isLoginKnown: async (server) => {
    const { isKnown } = await import('../../registry/login.ts');
    return isKnown({ env: process.env, signal: new AbortController().signal, ...(server !== undefined && { server }) });
  },
  logout: async (options) => (await import('../../registry/login.ts')).logout({ ...options, env: process.env }),
  pullImages: async (name, options) => {
    const { pullImages } = await import('../../registry/pull.ts');
    return withWorkplace(({ place, images }) => pullImages(place, images, name, options));
  },
  pushImages: async (name, options) => {
    const { pushImages } = await import('../../registry/push.ts');
    return withWorkplace(({ place, images }) => pushImages(place, images, name, options));
  },
  searchRegistry: async (term, options) => (await import('../../registry/search.ts')).searchRegistry(term, options),
  copyImage: async (source, destination, options) =>
    (await import('../../registry/copy-image.ts')).copyImage(source, destination, options),
  inspectRemote: async (name, signal, wanted) =>
    (await import('../../registry/image-tools.ts')).inspectRemote(name, signal, wanted),
  combineRemote: async (names, options) => (await import('../../registry/image-tools.ts')).combineRemote(names, options),
  saveImages: async (names, options) => {
    const { saveImages } = await import('../../images/save.ts');
    return withWorkplace(({ place, images }) => saveImages(place, images, names, options));
  },
  listBuilds: async () => {
    const { allBuilds, statusOf } = await import('../../build/history/builds.ts');
    return withWorkplace(async ({ place: { store } }) =>
      allBuilds(store).map((build) => ({ ...build, shownStatus: statusOf(store, build) })),
    );
  },
  describeBuild: async (id, step) => {
    const { findBuild, statusOf } = await import('../../build/history/builds.ts');
    const { findSteps, stepDetails } = await import('../../build/history/steps.ts');
    return withWorkplace(async ({ place }) => {
      const build = findBuild(place.store, id);
      const steps = findSteps(build, step).map((at) => stepDetails(place, build, at));
      return { build: { ...build, shownStatus: statusOf(place.store, build) }, steps };
    });
  },
  dryRun: async (options) => (await import('../../build/dry-run.ts')).dryRun(options),
  buildLog: async (id) => {
    const { buildLog } = await import('../../build/history/builds.ts');
    return withRecords(({ store }) => buildLog(store, id));
  },
  removeBuilds: async (ids) => {
    const { removeBuilds } = await import('../../build/history/builds.ts');
    return withWorkplace(async ({ place }) => removeBuilds(place.store, ids));
  },
  diffTrees: async (before, after) => {
    if (after === undefined && (await isContainer(before)))
      return withContainer(before, async (place, container) =>
        (await import('../../containers/files/diff.ts')).diffContainer(place, container),
      );
    const { diffTrees } = await import('../../build/history/diff.ts');
    return withRecords((records) => diffTrees(records, before, after));
  },
  ...connectedNetworks,
  createVolume: (wanted) => withVolumes((volumes) => volumes.create(wanted)),
  listVolumes: () =>
    withVolumes((volumes) => volumes.list().map((volume) => ({ volume, isUsed: volumes.usersOf(volume.name).length > 0 }))),
  inspectVolume: (name) => withVolumes((volumes) => volumes.find(name)),
  removeVolume: (name, options) => withVolumes((volumes) => volumes.remove(name, options)),
  pruneVolumes: (isMeant, options) => withVolumes((volumes) => volumes.prune(isMeant, options)),
  isContainer,
  copyOut: (nameOrId, path, destination, options) =>
    withContainer(nameOrId, async (place, container) =>
      (await import('../../containers/files/copy.ts')).copyOut(place, container, path, destination, options),
    ),
  copyIn: (nameOrId, source, path, options) =>
    withContainer(nameOrId, async (place, container) =>
      (await import('../../containers/files/copy.ts')).copyIn(place, container, source, path, options),
    ),
  exportContainer: (nameOrId, output) =>
    withContainer(nameOrId, async (place, container) =>
      (await import('../../containers/files/export.ts')).exportTar(place, container, output),
    ),
  commitContainer: (nameOrId, options) =>
    withContainer(nameOrId, async (place, container) =>
      (await import('../../containers/files/commit.ts')).commitContainer(place, container, options),
    ),
  checkStore: async () => {
    const { checkStore } = await import('../../images/fsck.ts');
    return withWorkplace(({ place }) => checkStore(place));
  },
  listUsage: async () => {
    const { listUsage } = await import('../../upkeep/usage.ts');
    return withWorkplace(({ place }) => listUsage(place));
  },
  pruneRemote: async (address, options, signal) =>
    (await import('../../cache/remote/prune-cache.ts')).pruneCache(address, options, signal),
  prune: async (options) => {
    const { prune } = await import('../../upkeep/prune.ts');
    return withWorkplace(({ place }) => prune(place, options));
  },
  describeStore: async () => {
    const [{ Containers }, { countStates }] = await Promise.all([
      import('../../containers/containers.ts'),
      import('../../containers/listing.ts'),
    ]);
    return withWorkplace(async ({ place, images }) => {
      const { store, driver, ids, layers } = place;
      const all = layers.all();
      return {
        root: store.root,
        driver,
        ids,
        containers: countStates(new Containers(place).list()),
        images: images.list().length,
        layers: all.length,
        layersSizeBytes: all.reduce((sum, layer) => sum + layer.bytes, 0),
      };
    });
  },
};

/** By its name, its ID or the beginning of it. */
async function isContainer(nameOrId: string): Promise<boolean> {
  const { TbuildError } = await import('../../base/errors.ts');
  return withContainers(({ containers }) => {
    try {
      return containers.find(nameOrId) !== undefined;
    } catch (error) {
      if (error instanceof TbuildError && error.code === 'container/unknown') return false;
      throw error;
    }
  });
}

async function withContainer<T>(nameOrId: string, act: (place: Workplace, container: Container) => Promise<T>): Promise<T> {
  const { Containers } = await import('../../containers/containers.ts');
  return withWorkplace(async ({ place }) => act(place, new Containers(place).find(nameOrId)));
}

async function withVolumes<T>(act: (volumes: Volumes) => T | Promise<T>): Promise<T> {
  const { Volumes } = await import('../../containers/volumes/volumes.ts');
  return withWorkplace(async ({ place }) => act(new Volumes(place)));
}

type ContainersPlace = Records & { readonly containers: Containers; readonly serve?: Serve };

/** `hasSizes`: with the helper, which measures. */
async function withContainers<T>(act: (place: ContainersPlace) => T | Promise<T>, hasSizes = false): Promise<T> {
  const { Containers } = await import('../../containers/containers.ts');
  if (!hasSizes) return withRecords((records) => act({ ...records, containers: new Containers(records) }));
  return withWorkplace(async ({ place, images }) => act({ ...place, images, containers: new Containers(place) }));
}

/** Of an image that was asked for by its ID, the first. */
function nameAmong(names: readonly string[], asked: string): string | undefined {
  return names.find((name) => [name, familiarName(name)].includes(asked) || familiarName(name) === `${asked}:latest`) ?? names[0];
}
