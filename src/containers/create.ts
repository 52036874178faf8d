// What was asked for and an image → what the container is to be, and its record. Nothing of it runs yet. The merging of the two is docker's
// (moby, daemon/commit.go: merge; daemon/create_unix.go).

import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { posix } from 'node:path';
import { TbuildError } from '../base/errors.ts';
import type { Image } from '../images/image.ts';
import { Images } from '../images/store.ts';
import type { Healthcheck } from '../oci/config.ts';
import type { Layer, PresentLayer } from '../snapshots/layers.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { type Container, Containers, newId } from './containers.ts';
import type { CreateOptions, HealthRequest, NetworkRequest, RequestedMount } from './create-options.ts';
import { Networks } from './networks/networks.ts';
import { obtainImage, type PullWatcher } from './obtain-image.ts';
import type { ContainerMount, ContainerSpec, NetworkChoice } from './spec.ts';
import { newVolumeName } from './volumes/volume.ts';
import { volumesFrom } from './volumes/volumes-from.ts';

/** `showPull`: called when the image has to be pulled first. */
export async function createContainer(
  workplace: Workplace,
  options: CreateOptions,
  showPull?: () => Promise<PullWatcher>,
): Promise<Container> {
  const { cidFile } = options;
  const id = newId();
  const file = cidFile === undefined ? undefined : openCidFile(cidFile);
  try {
    const spec = await specOf(workplace, options, await obtainImage(workplace, options, showPull));
    const containers = new Containers(workplace);
    await containers.sweep();
    const container = containers.create(spec, options.name, id);
    if (file !== undefined) writeSync(file, id);
    return container;
  } catch (error) {
    if (cidFile !== undefined) rmSync(cidFile, { force: true });
    throw error;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** docker/cli: newCIDFile. One that is there belongs to another container. */
function openCidFile(path: string): number {
  try {
    return openSync(path, 'wx', 0o644);
  } catch (cause) {
    const isThere = (cause as NodeJS.ErrnoException).code === 'EEXIST';
    const message = isThere
      ? `container ID file found, make sure the other container isn't running or delete ${path}`
      : `failed to create the container ID file: ${(cause as Error).message}`;
    throw new TbuildError('container/cid-file', message, isThere ? {} : { cause });
  }
}

async function specOf(workplace: Workplace, options: CreateOptions, image: Image): Promise<ContainerSpec> {
  const {
    image: name,
    platform: _platform,
    pull: _pull,
    name: _name,
    cidFile: _cidFile,
    command: _command,
    entrypoint: _entrypoint,
    env,
    workdir,
    user,
    exposed,
    network,
    mounts,
    volumesFrom: from,
    pid,
    ipc,
    stopSignal,
    stopTimeoutSeconds,
    health: wantedHealth,
    ...settled
  } = options;
  const config = image.config.config ?? {};
  const { os, architecture, variant } = image.config;
  const containers = new Containers(workplace);
  const layers = await presentLayers(workplace, image, name);
  const health = healthOf(wantedHealth, config.Healthcheck);
  return {
    ...settled,
    image: { name, id: image.id },
    layers: layers.map(({ id }) => id),
    platform: { os, architecture, ...(variant !== undefined && { variant }) },
    ...commandOf(image, options),
    env: environment(config.Env ?? [], env),
    workdir: workdir ?? (config.WorkingDir || '/'),
    user: user ?? config.User ?? '',
    labels: { ...config.Labels, ...settled.labels },
    network: networkOf(network, containers, new Networks(workplace)),
    exposed: [...new Set([...Object.keys(config.ExposedPorts ?? {}).map(withProtocol), ...exposed])],
    mounts: await mountsOf(workplace, { mounts, volumesFrom: from }, Object.keys(config.Volumes ?? {})),
    pid: namespaceOf(pid, containers),
    ipc: namespaceOf(ipc, containers),
    stopSignal: stopSignal ?? config.StopSignal ?? 'SIGTERM',
    stopTimeoutSeconds: stopTimeoutSeconds ?? 10,
    ...(health && { health }),
  };
}

async function presentLayers({ layers }: Workplace, image: Image, name: string): Promise<PresentLayer[]> {
  const known = image.layers.map((digest): Layer => {
    const layer = layers.get(digest);
    if (layer) return layer;
    throw new TbuildError('store/layer-gone', `the layer ${digest} of ${name} is not in the store`, {
      hint: 'load or build it again',
    });
  });
  return layers.presentAll(known);
}

/** An entrypoint that is given also takes the image's CMD away. */
function commandOf(image: Image, { image: name, entrypoint, command }: CreateOptions): Pick<ContainerSpec, 'entrypoint' | 'cmd'> {
  const { Entrypoint, Cmd } = image.config.config ?? {};
  const isGiven = entrypoint !== undefined || command.length > 0;
  const whole = { entrypoint: entrypoint ?? Entrypoint ?? [], cmd: isGiven ? command : (Cmd ?? []) };
  if (whole.entrypoint.length + whole.cmd.length > 0) return whole;
  throw new TbuildError('run/no-command', `the image ${name} has no command to run`, {
    hint: `give one: tbuild run ${name} COMMAND`,
  });
}

/** `NAME` alone takes the image's away. */
function environment(ofImage: readonly string[], given: readonly string[]): string[] {
  const byName = new Map([...ofImage, ...given].map((pair) => [pair.split('=', 1)[0] as string, pair]));
  return [...byName.values()].filter((pair) => pair.includes('='));
}

const withProtocol = (port: string) => (port.includes('/') ? port : `${port}/tcp`);

/** What is unset of a check that was asked for is the image's. */
function healthOf(wanted: 'none' | HealthRequest | undefined, ofImage: Healthcheck | undefined): Healthcheck | undefined {
  if (wanted === 'none') return undefined;
  const { command, interval, timeout, startPeriod, startInterval, retries } = wanted ?? {};
  const merged: Healthcheck = {
    ...ofImage,
    ...(command !== undefined && { Test: ['CMD-SHELL', command] }),
    ...(interval !== undefined && { Interval: interval }),
    ...(timeout !== undefined && { Timeout: timeout }),
    ...(startPeriod !== undefined && { StartPeriod: startPeriod }),
    ...(startInterval !== undefined && { StartInterval: startInterval }),
    ...(retries !== undefined && { Retries: retries }),
  };
  const [kind] = merged.Test ?? [];
  return kind === undefined || kind === 'NONE' ? undefined : merged;
}

/** Which network that is, where none is named, is found out at each start: the bridge, or what this account can have. */
function networkOf(asked: NetworkRequest, containers: Containers, networks: Networks): NetworkChoice {
  switch (asked.mode) {
    case 'default':
      return { mode: 'bridge', networks: [{ network: 'bridge', ...asked.attachment }] };
    case 'bridge':
      return { ...asked, networks: asked.networks.map((one) => ({ ...one, network: networks.nameOf(one.network) })) };
    case 'container':
      return { mode: 'container', container: containers.find(asked.container).id, networks: [] };
    default:
      return { mode: asked.mode, networks: [] };
  }
}

/** Names change: what is kept of `container:NAME` is the ID. */
function namespaceOf(text: string, containers: Containers): string {
  const name = text.startsWith('container:') ? text.slice('container:'.length) : undefined;
  return name === undefined ? text : `container:${containers.find(name).id}`;
}

/** What is mounted on one place: the wish for it comes before --volumes-from, and that before the image's VOLUME. */
async function mountsOf(
  workplace: Workplace,
  { mounts, volumesFrom: from }: Pick<CreateOptions, 'mounts' | 'volumesFrom'>,
  ofImage: readonly string[],
): Promise<ContainerMount[]> {
  const containers = new Containers(workplace);
  const wished = await Promise.all(mounts.map((mount) => settleMount(workplace, mount)));
  const borrowed = from.flatMap(({ container, readonly }) => volumesFrom(containers.find(container).spec, readonly, wished));
  const declared = ofImage.map(
    (target): ContainerMount => ({
      type: 'volume',
      name: newVolumeName(),
      isAnonymous: true,
      target,
      readonly: false,
      noCopy: false,
    }),
  );
  const byTarget = new Map<string, ContainerMount>();
  for (const mount of [...declared, ...borrowed, ...wished]) byTarget.set(placeOf(mount.target), mount);
  return [...byTarget.values()];
}

const placeOf = (target: string) => posix.join('/', target).replace(/(?<=.)\/$/, '');

async function settleMount(workplace: Workplace, mount: RequestedMount): Promise<ContainerMount> {
  if (mount.type === 'volume' && mount.isAnonymous) return { ...mount, name: newVolumeName() };
  if (mount.type !== 'image') return mount;
  const image = new Images(workplace.store, workplace.layers).resolve(mount.image);
  const layers = await presentLayers(workplace, image, mount.image);
  return { ...mount, layers: layers.map(({ id }) => id) };
}
