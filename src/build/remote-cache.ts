// `--cache-from` and `--cache-to`: opens what they name, and gives a build's results to those that it is to write to. Loaded by builds that have them.

import { existsSync } from 'node:fs';
import { TbuildError } from '../base/errors.ts';
import type { Backend } from '../cache/remote/backend.ts';
import { readSigningKey, readVerifyingKey } from '../cache/remote/entry.ts';
import { keepMount, type MountOptions, type MountToKeep } from '../cache/remote/mounts.ts';
import { openBackend } from '../cache/remote/open.ts';
import { RemoteReader, type Source } from '../cache/remote/reader.ts';
import { RemoteWriter, type StepToKeep, type Written } from '../cache/remote/writer.ts';
import type { Compression } from '../oci/descriptor.ts';
import { formatReference, parseReference } from '../oci/reference.ts';
import { type Plan, stepsBelow } from '../plan/graph.ts';
import { placesOf } from '../registry/blob-places.ts';
import type { CacheAddress } from '../snapshots/absent-data.ts';
import type { Layer } from '../snapshots/layers.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { Solved } from '../solve/solver.ts';
import { cachesOf } from '../steps/cache-mounts.ts';

export interface CacheSource {
  readonly address: CacheAddress;
  /** PEM of the public key that entries must be signed with. */
  readonly publicKey?: KeyText;
}

export interface CacheDestination {
  /** `inline`: the repositories that the image is pushed to. */
  readonly address: CacheAddress | 'inline';
  /** `min`: the steps whose layers the image has; `max`: all. */
  readonly mode: 'min' | 'max';
  /** Unset: gzip. */
  readonly compression?: Compression;
  readonly level?: number;
  /** PEM of the private key that entries are signed with. */
  readonly signingKey?: KeyText;
  /** Ids of the cache mounts whose contents are kept, too; unset: none. */
  readonly mounts?: 'all' | readonly string[];
  /** Of each; unset: 1 GiB. */
  readonly mountsMaxBytes?: number;
  /** A cache that cannot be written is no failure of the build. */
  readonly ignoresErrors: boolean;
}

export interface KeyText {
  readonly pem: string;
  /** Where it is from, for messages. */
  readonly name: string;
}

export interface RemoteCacheOptions {
  readonly from: readonly CacheSource[];
  readonly to: readonly CacheDestination[];
}

export interface BuiltSteps {
  readonly graph: Plan;
  readonly solved: ReadonlyMap<number, Solved>;
  /** In full, that the image was pushed to. */
  readonly pushedTo: readonly string[];
}

export async function openReader(
  place: Workplace,
  from: readonly CacheSource[],
  note: (line: string) => void,
  signal: AbortSignal,
): Promise<RemoteReader> {
  const keys = from.map(({ publicKey }) => publicKey && readVerifyingKey(publicKey.pem, publicKey.name));
  const sources: Source[] = [];
  for (const [position, { address }] of from.entries()) {
    try {
      sources.push({ backend: await openBackend(address, { isWritten: false, signal }), key: keys[position] });
    } catch (error) {
      if (!(error instanceof TbuildError)) throw error;
      note(`the cache ${labelOf(address)} is not used: ${error.message}`);
    }
  }
  return new RemoteReader(place, sources, note, signal);
}

/** What was written, a line each. Throws where a destination cannot be written that is not to be ignored. */
export async function writeCaches(
  place: Workplace,
  built: BuiltSteps,
  to: readonly CacheDestination[],
  note: (line: string) => void,
  signal: AbortSignal,
): Promise<string[]> {
  const written: string[] = [];
  for (const destination of to) {
    const addresses = addressesOf(destination, built, note);
    for (const address of addresses) {
      try {
        const { added, known, bytes } = await writeCache(place, built, destination, address, note, signal);
        written.push(`cache to ${labelOf(address)}: ${added} results added, ${known} there already, ${bytes} bytes sent`);
      } catch (cause) {
        signal.throwIfAborted();
        if (!(cause instanceof TbuildError)) throw cause;
        const what = `cannot write the cache ${labelOf(address)}: ${cause.message}`;
        if (!destination.ignoresErrors)
          throw new TbuildError(cause.code, what, { cause, hint: cause.hint, details: cause.details });
        note(what);
      }
    }
  }
  return written;
}

function addressesOf({ address }: CacheDestination, { pushedTo }: BuiltSteps, note: (line: string) => void): CacheAddress[] {
  if (address !== 'inline') return [address];
  if (pushedTo.length === 0)
    note('--cache-to type=inline has no effect: it is kept beside the image in its registry, and none is pushed');
  const repositories = pushedTo.map((name) => {
    const { domain, path } = parseReference(name);
    return formatReference({ domain, path });
  });
  return [...new Set(repositories)].map((repository) => ({ type: 'registry', repository }));
}

function labelOf(address: CacheAddress): string {
  if (address.type === 'registry') return address.repository;
  if (address.type === 'local') return address.directory;
  return address.type === 's3' ? `s3://${address.bucket}/${address.prefix}` : `gha ${address.scope}`;
}

async function writeCache(
  place: Workplace,
  { graph, solved }: BuiltSteps,
  { mode, compression = 'gzip', level, signingKey, mounts = [], mountsMaxBytes = DEFAULT_MOUNT_BYTES }: CacheDestination,
  address: CacheAddress,
  note: (line: string) => void,
  signal: AbortSignal,
): Promise<Written> {
  const key = signingKey && readSigningKey(signingKey.pem, signingKey.name);
  const steps = mode === 'max' ? graph.steps : graph.targets.flatMap((target) => stepsBelow(target, graph.steps));
  const results = [...new Set(steps)].map(({ id, op }) => ({ op, ...(solved.get(id) as Solved) }));
  const made = results.flatMap(({ found, layer }): StepToKeep[] => (found && layer ? [{ ...found, layer }] : []));
  const images = results.flatMap(({ op, result }): (readonly Layer[])[] =>
    op.kind === 'image' && result.kind === 'state' && result.state.length > 0 ? [result.state] : [],
  );
  const backend = await openBackend(address, { isWritten: true, mountsOf: blobPlacesIn(place, address), signal });
  try {
    const options = { compression, level, ...(key && { key }) };
    const written = await new RemoteWriter(place, backend, options).write(made, images);
    const caches = mountsIn(graph, mounts).filter(({ name }) => existsSync(place.store.path('mounts', name)));
    const bytes = await keepMounts(place, backend, caches, { maxBytes: mountsMaxBytes, signal, ...(key && { key }) }, note);
    return { ...written, bytes: written.bytes + bytes };
  } finally {
    await backend.close();
  }
}

const DEFAULT_MOUNT_BYTES = 2 ** 30;

/** Of the build's RUNs, each once. */
function mountsIn({ steps }: Plan, wanted: 'all' | readonly string[]): MountToKeep[] {
  const all = steps.flatMap(({ op }) => (op.kind === 'run' ? cachesOf(op.mounts) : []));
  const chosen = all.filter(({ id }) => wanted === 'all' || wanted.includes(id));
  return [...new Map(chosen.map((mount) => [mount.name, mount])).values()];
}

/** Bytes that were sent. */
async function keepMounts(
  place: Workplace,
  backend: Backend,
  mounts: readonly MountToKeep[],
  options: MountOptions,
  note: (line: string) => void,
): Promise<number> {
  let bytes = 0;
  for (const mount of mounts) {
    const kept = await keepMount(place, backend, mount, options);
    if (typeof kept === 'number') bytes += kept;
    else note(`the cache mount ${mount.id} is not kept: ${kept}`);
  }
  return bytes;
}

/** Of the repositories that have a blob, those of this registry. */
function blobPlacesIn({ store }: Workplace, address: CacheAddress): NonNullable<Parameters<typeof openBackend>[1]['mountsOf']> {
  if (address.type !== 'registry') return () => [];
  const { domain } = parseReference(address.repository);
  return (digest) =>
    placesOf(store.db, digest)
      .map(parseReference)
      .flatMap((other) => (other.domain === domain ? [other.path] : []));
}
