// `cp` from and to the Docker or podman that is running: its images come and go as archives for docker.

import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { TbuildError } from '../base/errors.ts';
import type { Engine } from '../http/engine.ts';
import { findEngine } from '../http/find-engine.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { familiarName } from '../oci/reference.ts';
import type { ManifestSource } from './copy.ts';
import { openDockerArchive, writeDockerArchive } from './docker-archive.ts';
import type { FetchedManifest } from './repository.ts';

/** `name` in full. */
export function openEngineImage(name: string, folder: string, compression: 'none' | 'gzip', signal: AbortSignal) {
  return withEngine(signal, async (engine) => {
    const path = join(folder, 'saved');
    const archive = await engine.save(familiarName(name), signal);
    await pipeline(archive, createWriteStream(path, { flags: 'wx', highWaterMark: 1 << 20 }), { signal });
    const label = `${familiarName(name)} of ${engine.name}`;
    return openDockerArchive({ path, name: undefined, label }, folder, compression, signal);
  });
}

/** What it is called there. */
export function writeEngineImage(
  from: ManifestSource,
  root: FetchedManifest,
  name: string,
  folder: string,
  signal: AbortSignal,
): Promise<Descriptor> {
  return withEngine(signal, async (engine) => {
    let written: Descriptor | undefined;
    await engine.load(async (archive) => {
      written = await writeDockerArchive(from, root, { to: archive, name }, folder, signal);
    }, signal);
    return written as Descriptor;
  });
}

async function withEngine<T>(signal: AbortSignal, act: (engine: Engine) => Promise<T>): Promise<T> {
  const engine = await findEngine(process.env, signal);
  if (!engine) {
    throw new TbuildError('registry/no-engine', 'no Docker or podman is listening here', {
      hint: 'DOCKER_HOST=unix:///PATH says where one is',
    });
  }
  try {
    return await act(engine);
  } finally {
    await engine.close();
  }
}
