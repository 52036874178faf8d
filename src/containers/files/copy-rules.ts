// Where what is copied goes, and under which name: docker cp's rules (moby pkg/archive/copy.go: PrepareArchiveCopy). Pure.

import { TbuildError } from '../../base/errors.ts';

export interface CopySource {
  /** As it was written. */
  readonly text: string;
  readonly isDirectory: boolean;
}

export interface CopyDestination {
  /** As it was written. */
  readonly text: string;
  /** Relative to its root, no link left in it. */
  readonly path: string;
  readonly isThere: boolean;
  readonly isDirectory: boolean;
}

export interface CopyPlan {
  readonly directory: string;
  /** '': what the source holds goes there, not the source itself. */
  readonly name: string;
}

/** Throws `container/cannot-copy`. */
export function planCopy(source: CopySource, destination: CopyDestination): CopyPlan {
  if (destination.isDirectory) return { directory: destination.path, name: nameOf(source.text) };
  const wrong = (why: string) => new TbuildError('container/cannot-copy', why);
  if (destination.isThere && source.isDirectory) throw wrong('cannot copy directory');
  if (!destination.isThere && !source.isDirectory && asksForDirectory(destination.text)) throw wrong('no such directory');
  return { directory: parentOf(destination.path), name: lastOf(destination.path) };
}

/** `path/` and `path/.` mean what a link leads to, and that it is a directory. */
export const asksForDirectory = (text: string): boolean => /(^|\/)\.?$/.test(text);

/** What an archive of it begins with: its last name, but for `path/.` and the root nothing. */
export function nameOf(text: string): string {
  if (/(^|\/)\.$/.test(text)) return '';
  const names: string[] = [];
  for (const name of text.split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  return names.at(-1) ?? '';
}

export const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));

const lastOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
