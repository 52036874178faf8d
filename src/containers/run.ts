// `tbuild run`: a container of an image in the foreground, on the store's layers as they are; nothing is unpacked or loaded.
// What it writes goes to a folder of this process on disk (where overlayfs can write there; else to memory) and is gone with it, whatever ends it.

import { randomBytes } from 'node:crypto';
import { TbuildError } from '../base/errors.ts';
import { fetchLater } from '../cache/fetch-later.ts';
import { findHere } from '../images/find-here.ts';
import type { Image } from '../images/image.ts';
import { Images } from '../images/store.ts';
import type { RootSpec } from '../native/with-root.ts';
import type { Platform } from '../oci/config.ts';
import type { PullEvent, Pulled } from '../registry/pull.ts';
import { containerConfig, SYSTEM_STUB } from '../sandbox/container-config.ts';
import { filesOfOwnNetwork, hostFiles, placeFiles, type SandboxFile } from '../sandbox/files.ts';
import type { Cgroup, Limits } from '../sandbox/limits.ts';
import { type NetworkMode, networkOf } from '../sandbox/network.ts';
import type { OtherRuntime } from '../sandbox/runtime.ts';
import { diskUpper, memoryUpperBytes } from '../sandbox/upper.ts';
import { idmapOptions, MAPPED_IDS, type UserNamespace } from '../sandbox/user-namespace.ts';
import { type Credentials, resolveUser } from '../snapshots/accounts.ts';
import type { Layer, PresentLayer } from '../snapshots/layers.ts';
import { openWorkplace, type Workplace } from '../snapshots/workplace.ts';
import { runInForeground } from './foreground.ts';
import { parseVolume, type VolumeMount } from './volumes.ts';

export interface RunOptions {
  /** The store; undefined: `$TBUILD_ROOT`, else the default place. */
  readonly root?: string;
  /** A name, an ID, or a unique beginning of one. */
  readonly image: string;
  /** Unset: of an image for several platforms this machine's. */
  readonly platform?: Platform;
  /** Whether the image's registry is asked: where it is not here (unset), before each run, or never. */
  readonly pull?: 'missing' | 'always' | 'never';
  /** Called when there is something to pull: who is told of it. */
  readonly showPull?: () => Promise<PullWatcher>;
  /** Empty: the image's own. */
  readonly command: readonly string[];
  /** Standard input goes to the container; else it sees the end of file. */
  readonly interactive: boolean;
  /** The container has a terminal of its own, joined to ours. */
  readonly tty: boolean;
  /** Of ours; some runtimes (crun) learn it only when it changes. */
  readonly terminalSize?: { readonly width: number; readonly height: number };
  /** `NAME=value`; later ones win. */
  readonly env: readonly string[];
  /** `SOURCE:TARGET[:ro]`. */
  readonly volumes: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  /** `''` takes the image's away. */
  readonly entrypoint?: string;
  readonly network: NetworkMode;
  /** Told why the container is on the host's network, though it was to have one of its own. */
  readonly onHostNetwork?: (why: string) => void;
  /** Unset: one of its own where the machine can. */
  readonly userns?: 'host';
  readonly readOnly: boolean;
  readonly hostname?: string;
  readonly limits?: Limits;
  /** The cgroup that the container's is made in; unset: tbuild's own choice. */
  readonly cgroupParent?: string;
  /** Another OCI runtime than the bundled one: a name in PATH, or a path. */
  readonly runtime?: string;
}

export interface PullWatcher {
  readonly show: (event: PullEvent) => void;
  readonly end: () => void;
}

/** The container's exit status, as a shell's `$?`. Throws `run/…` where it cannot be started. */
export async function runContainer(options: RunOptions): Promise<number> {
  const { runtime: name } = options;
  const runtime = name === undefined ? undefined : (await import('../sandbox/runtime.ts')).findRuntime(name);
  const workplace = await openWorkplace(options.root, fetchLater());
  try {
    const image = await obtainImage(workplace, options);
    const id = randomBytes(32).toString('hex');
    const state = await workplace.layers.presentAll(stateOf(workplace, image, options));
    const spec = rootSpec(workplace, state, image, options, id, runtime);
    const stdio = options.interactive || options.tty ? 'inherit' : 'no-input';
    return await runInForeground(spec, id, stdio, runtime?.command, options.onHostNetwork);
  } finally {
    await workplace.close();
  }
}

/** What talks to registries is loaded when there is something to ask them. */
async function obtainImage(workplace: Workplace, options: RunOptions): Promise<Image> {
  const { image: name, platform, pull = 'missing' } = options;
  const images = new Images(workplace.store, workplace.layers);
  const here = pull === 'always' ? undefined : findHere(images, name, platform);
  if (here || pull === 'never') return images.resolveFor(name, platform);
  const { pullImages } = await import('../registry/pull.ts');
  const watcher = await options.showPull?.();
  try {
    const { signal } = new AbortController();
    const how = { signal, ...(platform && { platform }), ...(watcher && { onEvent: watcher.show }) };
    const [pulled] = await pullImages(workplace, images, name, how);
    return (pulled as Pulled).image;
  } finally {
    watcher?.end();
  }
}

function stateOf(workplace: Workplace, image: Image, options: RunOptions): Layer[] {
  return image.layers.map((digest) => {
    const layer = workplace.layers.get(digest);
    if (!layer)
      throw new TbuildError('store/layer-gone', `the layer ${digest} of ${options.image} is not in the store`, {
        hint: 'load or build it again',
      });
    return layer;
  });
}

function rootSpec(
  workplace: Workplace,
  state: readonly PresentLayer[],
  image: Image,
  options: RunOptions,
  id: string,
  runtime?: OtherRuntime,
): RootSpec {
  const config = image.config.config ?? {};
  const user = resolveUser(
    state.map((layer) => workplace.layers.index(layer.id)),
    options.user ?? config.User ?? '',
  );
  const hostname = options.hostname ?? id.slice(0, 12);
  const network = networkOf(options.network, workplace.ids === undefined);
  const scratch = workplace.store.path('mnt');
  const placed = placeFiles(scratch, [...hostFiles(network, hostname), hostnameFile(hostname)]);
  // Who is on the host's network by his own wish is to be somebody there; another runtime finds the root by its path, where a mapped root may not go.
  const isMapped = !runtime && options.userns !== 'host' && options.network !== 'host' && workplace.driver.userns;
  const userns = isMapped ? 'private' : 'host';
  const cgroup = cgroupOf(options);
  const volumes = options.volumes.map((text) => parseVolume(text, workplace.store));
  return {
    scratch,
    layers: state.map((layer) => workplace.layers.lower(layer)),
    stub: [
      ...SYSTEM_STUB,
      { path: 'etc/hostname', type: 'file' },
      ...volumes.map(({ target, type }) => ({ path: target.slice(1), type })),
    ],
    ...(isMapped && { userns: MAPPED_IDS }),
    upper: options.readOnly ? null : upperOf(workplace),
    files: placed.files,
    ...filesOfOwnNetwork(network, hostname),
    mounts: [],
    config: containerConfig({
      args: commandOf(image, options),
      env: environment(config.Env ?? [], options, user, hostname),
      cwd: options.workdir ?? (config.WorkingDir || '/'),
      user,
      hostname,
      network,
      userns,
      bindsSys: runtime?.bindsSys(network),
      terminal: options.tty,
      consoleSize: options.terminalSize,
      cgroup: runtime ? runtime.cgroupOf(cgroup, [], false) : cgroup,
      readonlyRoot: options.readOnly,
      mounts: [...placed.mounts, ...volumes.map((volume) => volumeMount(volume, userns))],
    }),
    commit: null,
  };
}

function cgroupOf({ limits, cgroupParent }: RunOptions): Cgroup | undefined {
  if (limits === undefined && cgroupParent === undefined) return undefined;
  return { ...(limits && { limits }), ...(cgroupParent !== undefined && { parent: cgroupParent }) };
}

/** Docker's rule: an entrypoint given here also takes the image's CMD away. */
function commandOf(image: Image, options: RunOptions): string[] {
  const { Entrypoint, Cmd } = image.config.config ?? {};
  const entrypoint =
    options.entrypoint === undefined ? (Entrypoint ?? []) : options.entrypoint === '' ? [] : [options.entrypoint];
  const command = options.command.length > 0 || options.entrypoint !== undefined ? options.command : (Cmd ?? []);
  const args = [...entrypoint, ...command];
  if (args.length === 0) {
    throw new TbuildError('run/no-command', `the image ${options.image} has no command to run`, {
      hint: `give one: tbuild run ${options.image} COMMAND`,
    });
  }
  return args;
}

const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

function environment(image: readonly string[], options: RunOptions, user: Credentials, hostname: string): string[] {
  const defaults = [DEFAULT_PATH, `HOSTNAME=${hostname}`, `HOME=${user.home ?? '/'}`, ...(options.tty ? ['TERM=xterm'] : [])];
  const byName = new Map([...defaults, ...image, ...options.env].map((pair) => [pair.split('=', 1)[0], pair]));
  return [...byName.values()];
}

function upperOf(workplace: Workplace): RootSpec['upper'] {
  return workplace.driver.takesUppers ? diskUpper(() => workplace.newPath()) : { tmpfs: memoryUpperBytes(1) };
}

function hostnameFile(hostname: string): SandboxFile {
  return {
    name: 'hostname',
    destination: '/etc/hostname',
    content: Buffer.from(`${hostname}\n`),
    mode: 0o644,
    uid: 0,
    gid: 0,
    readonly: false,
  };
}

function volumeMount({ source, target, readonly }: VolumeMount, userns: UserNamespace) {
  // What is mounted below comes along, and is as closed: the host's /dev in its root.
  const options = ['rbind', 'rprivate', 'rnodev', readonly ? 'rro' : 'rw', ...idmapOptions(userns, true)];
  return { destination: target, type: 'bind', source, options };
}
