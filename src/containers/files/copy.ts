// `cp`: files into a container and out of it, whether it runs or not, volumes included. Both ends are looked at and worked on by processes of their own, which resolve
// paths inside their root; what goes through is a tar.

import { resolve } from 'node:path';
import type { Digest } from '../../base/digest.ts';
import { TbuildError } from '../../base/errors.ts';
import {
  copyFiles,
  type FilesPlace,
  type FoundFile,
  findFile,
  readFiles,
  type WrittenFiles,
  writeFiles,
} from '../../native/files.ts';
import { resolveUser } from '../../snapshots/accounts.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import type { Container } from '../containers.ts';
import { changeContainer, readContainer } from './container-root.ts';
import { asksForDirectory, type CopyDestination, nameOf, parentOf, planCopy } from './copy-rules.ts';

export interface CopyOptions {
  /** Of a link that is named as the source what it leads to (-L). */
  readonly followsLink: boolean;
  /** What is copied in is the container's user's (-a); else whose it was. */
  readonly isArchive: boolean;
}

const HERE: FilesPlace = { kind: 'here' };

/** `destination`: a path of this machine, or a descriptor of ours that gets a tar. */
export function copyOut(
  workplace: Workplace,
  container: Container,
  path: string,
  destination: string | number,
  { followsLink }: Pick<CopyOptions, 'followsLink'>,
): Promise<WrittenFiles> {
  return readContainer(workplace, container, true, async (place) => {
    const source = await findSource(place, path, followsLink, () => notInContainer(path, container));
    if (typeof destination === 'number') {
      await readFiles({ place, path: source.path, name: nameOf(path) }, destination);
      return { bytes: 0, skipped: [] };
    }
    const target = await findLocalTarget(destination);
    const { directory, name } = planCopy({ text: path, isDirectory: source.kind === 'dir' }, target);
    return copyFiles({ place, path: source.path, name }, { place: HERE, directory });
  });
}

/** `source`: a path of this machine, or a descriptor of ours that a tar is read from. */
export function copyIn(
  workplace: Workplace,
  container: Container,
  source: string | number,
  path: string,
  { followsLink, isArchive }: CopyOptions,
): Promise<WrittenFiles> {
  return changeContainer(workplace, container, async (place) => {
    const owner = isArchive ? ownerIn(workplace, container) : undefined;
    const target = await findTarget(place, path);
    const named = `"${container.name}:${path}"`;
    if (target.kind !== null && target.kind !== 'dir' && target.kind !== 'file')
      throw new TbuildError('container/cannot-copy', `destination ${named} must be a directory or a regular file`);
    const to = (directory: string) => ({ place, directory, ...(owner && { owner }) });
    if (typeof source === 'number') {
      if (target.kind === 'dir') return writeFiles(to(target.path), source);
      throw new TbuildError('container/cannot-copy', `destination ${named} must be a directory`);
    }
    const absolute = absoluteOf(source);
    const found = await findSource(HERE, absolute, followsLink, () => notHere(source));
    const { directory, name } = planCopy({ text: absolute, isDirectory: found.kind === 'dir' }, destinationOf(path, target));
    if (target.kind === null && !target.hasParent) throw notInContainer(`/${parentOf(target.path)}`, container);
    return copyFiles({ place: HERE, path: found.path, name }, to(directory));
  });
}

/** `path/` and `path/.` are what a link leads to. */
async function findSource(place: FilesPlace, path: string, followsLink: boolean, missing: () => TbuildError): Promise<FoundFile> {
  const found = await find(place, path);
  const meant = followsLink || asksForDirectory(path) ? (found?.target ?? found) : found;
  if (!meant || meant.kind === null) throw missing();
  if (asksForDirectory(path) && meant.kind !== 'dir') throw new TbuildError('container/cannot-copy', `${path}: not a directory`);
  return meant;
}

/** Undefined: something on the way is no directory. */
async function find(place: FilesPlace, path: string): Promise<FoundFile | undefined> {
  try {
    return await findFile(place, path);
  } catch (error) {
    if (error instanceof TbuildError && error.details?.errno === 'ENOTDIR') return undefined;
    throw error;
  }
}

async function findTarget(place: FilesPlace, path: string): Promise<FoundFile> {
  const found = await findFile(place, path);
  return found.target ?? found;
}

async function findLocalTarget(path: string): Promise<CopyDestination> {
  const absolute = absoluteOf(path);
  const found = await findTarget(HERE, absolute);
  const wrong = (why: string) => new TbuildError('container/cannot-copy', `invalid output path: ${why}`);
  if (found.kind === null && !found.hasParent)
    throw wrong(`directory ${JSON.stringify(`/${parentOf(found.path)}`)} does not exist`);
  if (found.kind !== null && found.kind !== 'dir' && found.kind !== 'file')
    throw wrong(`${JSON.stringify(path)} must be a directory or a regular file`);
  return destinationOf(path, found);
}

const destinationOf = (text: string, { path, kind }: FoundFile): CopyDestination => {
  return { text, path, isThere: kind !== null, isDirectory: kind === 'dir' };
};

/** What stands at its end stays, for it means something (docker's PreserveTrailingDotOrSeparator). */
function absoluteOf(path: string): string {
  const end = path === '.' ? '/.' : (/\/\.?$/.exec(path)?.[0] ?? '');
  return `${resolve(path)}${end}`;
}

function ownerIn({ layers }: Workplace, { spec }: Container): { uid: number; gid: number } {
  const { uid, gid } = resolveUser(
    spec.layers.map((id) => layers.index(id as Digest)),
    spec.user,
  );
  return { uid, gid };
}

const notInContainer = (path: string, { name }: Container): TbuildError =>
  new TbuildError('container/no-file', `Could not find the file ${path} in container ${name}`);

const notHere = (path: string): TbuildError =>
  new TbuildError('container/no-file', `lstat ${resolve(path)}: no such file or directory`);
