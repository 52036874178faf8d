// A context that comes through standard input or is a file: a tar with a Dockerfile in it, or a Dockerfile alone (buildx: build/opt.go, loadInputs).

import { TbuildError } from '../../base/errors.ts';
import { type ContextInput, readInput, readInputFile } from '../../context/input.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import { readStandardInput } from '../dockerfile-source.ts';
import { openArchiveContext, readDockerfileIn } from './archive.ts';
import { openEmptyDirectory } from './directory.ts';
import type { ContextOptions, MainContext } from './options.ts';

/** `path`: a file; undefined: standard input. */
export async function openInput(workplace: Workplace, path: string | undefined, options: ContextOptions): Promise<MainContext> {
  const label = path ?? 'standard input';
  const reading = { label, spool: workplace.newPath(), signal: options.signal };
  const input = path === undefined ? await readInput(process.stdin, reading) : await readInputFile(path, reading);
  if (input.kind === 'dockerfile') return alone(workplace, input, path, options);
  const context = await openArchiveContext(workplace, input.path, label);
  const dockerfile = options.dockerfile === '-' ? readStandardInput() : readDockerfileIn(context, options.dockerfile, label);
  return { dockerfile, open: async () => context };
}

function alone(
  workplace: Workplace,
  { bytes }: ContextInput & { kind: 'dockerfile' },
  path: string | undefined,
  { dockerfile }: ContextOptions,
): MainContext {
  if (dockerfile !== undefined) {
    const hint = 'leave out -f, or give the directory or the tar that is the context';
    const which = path === undefined ? 'standard input' : path;
    throw new TbuildError('usage/conflict', `${which} is a Dockerfile, and -f names another: there is no context`, { hint });
  }
  if (bytes.length === 0 && path === undefined) {
    throw new TbuildError('context/empty', 'nothing came through standard input: neither a tar nor a Dockerfile');
  }
  return { dockerfile: { bytes, name: path ?? 'Dockerfile', path: undefined }, open: () => openEmptyDirectory(workplace) };
}
