// `commit`: an image of what a container has written on top of its own image, with its configuration.

import { existsSync, mkdirSync } from 'node:fs';
import type { Digest } from '../../base/digest.ts';
import { TbuildError } from '../../base/errors.ts';
import { changedConfig } from '../../images/config-changes.ts';
import type { Image } from '../../images/image.ts';
import { Images } from '../../images/store.ts';
import { control } from '../../native/monitor.ts';
import type { ContainerConfig, HistoryEntry, ImageConfig } from '../../oci/config.ts';
import { encodeImageConfig } from '../../oci/image-config.ts';
import { isPinned, normalizeName } from '../../oci/reference.ts';
import type { PresentLayer } from '../../snapshots/layers.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import type { Container } from '../containers.ts';
import type { ContainerSpec } from '../spec.ts';
import { layersOf, upperOf } from './container-root.ts';

export interface CommitOptions {
  /** As users write it; unset: the image gets none. */
  readonly name?: string;
  readonly author?: string;
  readonly message?: string;
  /** Dockerfile instructions for the config. */
  readonly changes: readonly string[];
  /** Its processes stand still while what they wrote is read. */
  readonly pauses: boolean;
}

export async function commitContainer(workplace: Workplace, container: Container, options: CommitOptions): Promise<Image> {
  const { name, author = '', message = '' } = options;
  const names = name === undefined ? [] : [fullName(name)];
  const images = new Images(workplace.store, workplace.layers);
  const base = images.get(container.spec.image.id as Digest);
  const { platform } = container.spec;
  const config = await changedConfig(configOf(container.spec, base?.config.config ?? {}), options.changes, platform);
  const below = await workplace.layers.presentAll(layersOf(workplace, container));
  const layers = await Promise.all(
    [...below, await packWritten(workplace, container, options.pauses)].map((layer) => workplace.layers.describe(layer)),
  );
  const created = new Date().toISOString();
  const last: HistoryEntry = {
    created,
    ...(author !== '' && { author }),
    created_by: container.spec.cmd.join(' '),
    ...(message !== '' && { comment: message }),
  };
  const { os, architecture, variant } = platform;
  const bytes = encodeImageConfig({
    os,
    architecture,
    ...(variant !== undefined && { variant }),
    created,
    ...(author !== '' && { author }),
    config,
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: [...historyBelow(base?.config, below, created), last],
  });
  return images.put({ config: bytes, layers, names });
}

function fullName(name: string): string {
  const full = normalizeName(name);
  if (!isPinned(full)) return full;
  throw new TbuildError('usage/bad-value', `a commit cannot be named ${name}: its digest is what it will have`);
}

/** Of an image that is gone the layers alone are known. */
function historyBelow(base: ImageConfig | undefined, below: readonly PresentLayer[], created: string): readonly HistoryEntry[] {
  return base?.history ?? (base ? [] : below.map(() => ({ created })));
}

async function packWritten(
  { serve, layers, driver, newPath }: Workplace,
  container: Container,
  pauses: boolean,
): Promise<PresentLayer> {
  const dir = upperOf(container);
  if (!existsSync(dir)) mkdirSync(dir, { recursive: true });
  const isPaused = pauses && container.state().status === 'running' && (await pause(container));
  try {
    const summary = await serve.call('packDir', { driver: driver.driver, out: newPath(), dir, overlay: true });
    return layers.commit(summary, driver.driver);
  } finally {
    if (isPaused) await control(container.directory, { op: 'unpause' });
  }
}

/** False: an account without a cgroup of its own cannot. Then a file that changes while it is read is an error. */
async function pause({ directory }: Container): Promise<boolean> {
  try {
    await control(directory, { op: 'pause' });
    return true;
  } catch (error) {
    if (error instanceof TbuildError && error.code.startsWith('unsupported/')) return false;
    throw error;
  }
}

/** The image's, with what the container was given (moby daemon/commit.go). */
function configOf(spec: ContainerSpec, image: ContainerConfig): ContainerConfig {
  const { entrypoint, cmd, env, workdir, user, labels, exposed, mounts, stopSignal, health } = spec;
  const anonymous = mounts.flatMap((mount) => (mount.type === 'volume' && mount.isAnonymous ? [mount.target] : []));
  const volumes = Object.fromEntries([...Object.keys(image.Volumes ?? {}), ...anonymous].map((path) => [path, {}]));
  const ports = Object.fromEntries(exposed.map((port) => [port, {}]));
  const { ArgsEscaped: _, StopSignal: __, Healthcheck: ___, ...rest } = image;
  return {
    ...rest,
    Env: env,
    Entrypoint: entrypoint,
    Cmd: cmd,
    WorkingDir: workdir,
    User: user,
    Labels: labels,
    ...(Object.keys(ports).length > 0 && { ExposedPorts: ports }),
    ...(Object.keys(volumes).length > 0 && { Volumes: volumes }),
    ...((image.StopSignal !== undefined || stopSignal !== 'SIGTERM') && { StopSignal: stopSignal }),
    ...(health && { Healthcheck: health }),
  };
}
