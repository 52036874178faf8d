// What an account that is not root cannot test, and why: the one list of it. Where the tests are run by one, these are skipped, and printed.

import { isRoot } from './own-files.ts';

const CGROUPS = 'asks for cgroups, which are delegated to nobody here';
const MOUNTS = 'mounts file systems of its own, for tbuild to be on';
const NODES = 'makes device nodes, which only root may';
const PODMAN = 'podman and buildah are beside tbuild as root runs them';
const OTHERS = 'has files of others, or becomes another user';

/** Of a file of tests: all of it, or by the names of tests (as vitest joins them: `suite > test`). */
type Reasons = string | Readonly<Record<string, string>>;
export const rootOnly: Readonly<Record<string, Reasons>> = {
  'test/e2e/attacks.test.ts': {
    'devices > of an image cannot be opened, in whatever user namespace, wherever they are mounted': NODES,
    'devices > that a container makes cannot be opened on any mount that it has': NODES,
    'a store > is closed to other users of the machine': OTHERS,
  },
  'test/e2e/bad-input.test.ts': {
    'a context > with a file that cannot be read': OTHERS,
    'a full disk > is one clear error, and the store goes on when there is room again': MOUNTS,
  },
  'test/e2e/build-load.test.ts': {
    'podman > has the image that was built, by DOCKER_HOST': PODMAN,
    'podman > has the image that was built, by CONTAINER_HOST': PODMAN,
    'podman > is copied from and to, by docker-daemon:': PODMAN,
    'podman > is found by its default socket, and handed what -o type=docker says': PODMAN,
  },
  'test/e2e/drivers.test.ts': MOUNTS,
  'test/e2e/engines.test.ts': PODMAN,
  'test/e2e/entitlements.test.ts': {
    '--allow > is what RUN --device=vendor1.com/device=zero needs': NODES,
    '--allow > is what RUN --device=vendor1.com/device=* needs': NODES,
    'RUN --device > gives nodes, variables, mounts and groups, of which nothing stays': NODES,
    'RUN --device > makes a node the user’s': NODES,
    'RUN --device > names all of a kind': NODES,
    'RUN --device > may be allowed one by one, by an alias, or by the device itself': NODES,
  },
  'test/e2e/fixtures.test.ts': {
    'web: npm in a build stage, a server as another user, an end when asked':
      "needs npm's settings on this machine, which are root's",
  },
  'test/e2e/hostile-contexts.test.ts': {
    'what is no file > is copied as it is: FIFOs, devices; a socket is left out of an image': NODES,
    'what may not be read > is an error that names it, and says how to go on': OTHERS,
  },
  'test/e2e/exec.test.ts': { 'what cannot be executed is said with the statuses of docker': CGROUPS },
  'test/e2e/containers.test.ts': { 'a container > is killed, paused and restarted': CGROUPS },
  'test/e2e/inside-container.test.ts': 'takes away rights of root, and other containers run tbuild as root',
  'test/e2e/layer-archives.test.ts': NODES,
  'test/e2e/limits.test.ts': {
    'limits > a RUN that takes more memory is killed, and says so': CGROUPS,
    'limits > limits are no part of a step': CGROUPS,
    'limits > run has docker’s flags': CGROUPS,
  },
  'test/e2e/observed.test.ts': {
    'when the observer > cannot begin any more, the command is run without': MOUNTS,
    'when the observer > has seen all, and the disk is full then, nothing is kept of it': MOUNTS,
    'when the observer > is asked again after the kernel’s caches were dropped, what it says is right':
      'drops the caches of the whole machine',
  },
  'test/e2e/networks.test.ts': 'makes bridges, and rules of the firewall',
  'test/e2e/outputs.test.ts': {
    'beside what others make of the same image': NODES,
    'a directory that is there > is as it was when the disk is full, and so is a tar': MOUNTS,
    'an image ID for a device goes there, and takes nothing away': NODES,
  },
  'test/e2e/push.test.ts': {
    'gzip, media types of oci > is pulled and run by podman, buildah and tbuild': PODMAN,
    'zstd, media types of oci > is pulled and run by podman, buildah and tbuild': PODMAN,
    'gzip, media types of docker > is pulled and run by podman, buildah and tbuild': PODMAN,
  },
  'test/e2e/runtimes.test.ts': CGROUPS,
  'test/e2e/run-flags.test.ts': 'asks for cgroups, devices, rights on the machine, and namespaces of other containers',
  'test/e2e/user-namespaces.test.ts':
    'is about the ids that root gives containers; those of an account: test/rootless/many-ids.test.ts',
};

/** Those of which nothing is run. */
export const wholeFiles = (): string[] => Object.keys(rootOnly).filter((file) => !isRoot && typeof rootOnly[file] === 'string');

/** Why a test is skipped here; undefined: it is run. */
export function reasonToSkip(file: string, name: string): string | undefined {
  if (isRoot) return undefined;
  const reasons = rootOnly[file];
  return typeof reasons === 'string' ? reasons : reasons?.[name];
}

export function sayWhatIsSkipped(): void {
  if (isRoot) return;
  for (const [file, reasons] of Object.entries(rootOnly)) {
    if (typeof reasons === 'string') console.log(`skipped without root: ${file}: ${reasons}`);
    else for (const [name, reason] of Object.entries(reasons)) console.log(`skipped without root: ${file} > ${name}: ${reason}`);
  }
}
