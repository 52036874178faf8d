// `--output type=local|tar`: the files of what was built, with no image around them. What layers show is decided from their indexes; nothing is
// mounted. A directory gets all of it or, when something fails, nothing; nothing is ever written outside it.

import { statSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { TbuildError } from '../../base/errors.ts';
import { cannotWrite, makeParents, naming, placeFile, temporaryName } from '../../images/place-file.ts';
import type { LayerStack } from '../../native/serve.ts';
import { writeTreeTar } from '../../native/tree-tar.ts';
import { formatPlatform } from '../../oci/platform.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import type { BuildImages } from './built-image.ts';

export interface LocalOutput {
  readonly type: 'local';
  readonly destination: string;
  /** What the result does not have is removed from the destination. */
  readonly mode: 'copy' | 'delete';
  /** A directory for each platform; undefined: when there are several. */
  readonly platformSplit?: boolean;
  /** Before the names of the files with what is said of the build. */
  readonly attestationPrefix?: string;
}

export interface TarOutput {
  readonly type: 'tar';
  /** A file; `-`: standard output. */
  readonly destination: string;
  readonly platformSplit?: boolean;
  readonly attestationPrefix?: string;
}

/** Owned by whoever runs this, as with BuildKit (session/filesync). */
export async function exportDirectory(
  workplace: Workplace,
  result: BuildImages,
  output: LocalOutput,
  signal: AbortSignal,
): Promise<void> {
  const { serve } = workplace;
  const target = resolve(output.destination);
  const isThere = isDirectory(target);
  if (!isThere) makeParents(target);
  // On the target's own file system: below it where it is there, for it may be a mount point.
  const staging = join(isThere ? target : dirname(target), temporaryName());
  await namingNative(output.destination, staging, async () => {
    try {
      await serve.call('copyTree', {
        stacks: await stacksOf(workplace, result, output, signal),
        out: staging,
        ...mtimeOf(result),
      });
      signal.throwIfAborted();
      if (isThere) await serve.call('placeTree', { from: staging, to: target, delete: output.mode === 'delete' });
      else await rename(staging, target);
    } finally {
      // Where that fails too, the first failure is the one to tell.
      await serve.call('remove', { path: staging }).catch(() => {});
    }
  });
}

/** Owners as they are in the image. */
export async function exportTar(
  workplace: Workplace,
  result: BuildImages,
  output: TarOutput,
  signal: AbortSignal,
): Promise<void> {
  const { destination } = output;
  const request = { stacks: await stacksOf(workplace, result, output, signal), ...mtimeOf(result) };
  if (destination === '-') return namingNative('standard output', '', () => writeTreeTar(request, 1, signal));
  makeParents(resolve(destination));
  await placeFile(destination, (path, flags) =>
    namingNative(destination, '', () => writeToFile(path, flags, (fd) => writeTreeTar(request, fd, signal))),
  );
}

async function writeToFile(path: string, flags: 'w' | 'wx', write: (fd: number) => Promise<void>): Promise<void> {
  // Not openSync: a FIFO waits for its reader, and ^C is to be heard meanwhile.
  const file = await open(path, flags, 0o644);
  try {
    await write(file.fd);
  } finally {
    await file.close();
  }
}

async function stacksOf(
  workplace: Workplace,
  { built, isForSeveral }: BuildImages,
  { platformSplit = isForSeveral, attestationPrefix = '' }: LocalOutput | TarOutput,
  signal: AbortSignal,
): Promise<LayerStack[]> {
  const { layers } = workplace;
  const stacks: LayerStack[] = [];
  for (const each of built) {
    const { platform, state, said = [] } = each;
    const name = formatPlatform(platform);
    const own = (await layers.presentAll(state)).map((layer) => ({
      index: layers.indexPath(layer.id),
      data: layers.dataPath(layer),
    }));
    const suffix = isForSeveral && !platformSplit ? `.${name.replaceAll('/', '_')}` : '';
    const named = { prefix: attestationPrefix, suffix };
    const top = said.some(({ isInlineOnly }) => !isInlineOnly)
      ? [await (await import('./attestation-files.ts')).attestationLayer(workplace, each, named, signal)]
      : [];
    stacks.push({ name, directory: platformSplit ? name.replaceAll('/', '_') : '', layers: [...own, ...top] });
  }
  return stacks;
}

/** BuildKit's exporter/local: with SOURCE_DATE_EPOCH every time is that. */
function mtimeOf({ built }: BuildImages): { mtime?: number } {
  const epoch = built[0]?.epoch;
  return epoch === undefined ? {} : { mtime: epoch };
}

function isDirectory(path: string): boolean {
  try {
    if (statSync(path).isDirectory()) return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw cannotWrite(path, (error as Error).message, error);
  }
  throw new TbuildError('usage/output', `destination directory ${path} is a file`);
}

/** What the system refuses the helper is about the destination: from the store it only reads. */
async function namingNative(destination: string, staging: string, work: () => Promise<void>): Promise<void> {
  try {
    await naming(destination, work);
  } catch (cause) {
    if (!(cause instanceof TbuildError) || (cause.code !== 'native/io' && cause.code !== 'store/full')) throw cause;
    const { path, detail } = cause.details as { path: string | null; detail: string };
    const where = path === null || path === '' || path === staging ? destination : join(destination, path);
    throw cannotWrite(where, detail, cause);
  }
}
