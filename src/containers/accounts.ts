// Users and groups of a container: those of its image, or of what it wrote in their place. Links are not followed, for the container made them; what is no plain
// file is not there.

import { lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Digest } from '../base/digest.ts';
import { type AccountFiles, type Credentials, resolveUser } from '../snapshots/accounts.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { Container } from './containers.ts';

const FILE_BYTES_MAX = 16 << 20;

export function writtenAccounts({ directory }: { readonly directory: string }): AccountFiles {
  const etc = join(directory, 'upper/etc');
  if (!lstatSync(etc, { throwIfNoEntry: false })?.isDirectory()) return {};
  const read = (name: string) => {
    const path = join(etc, name);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    return stat?.isFile() && stat.size <= FILE_BYTES_MAX ? { [name]: readFileSync(path, 'utf8') } : {};
  };
  return { ...read('passwd'), ...read('group') };
}

/** `user`: as `resolveUser` has it, whose errors it throws. */
export function userIn({ layers }: Workplace, container: Container, user: string): Credentials {
  const indexes = container.spec.layers.map((id) => layers.index(id as Digest));
  return resolveUser(indexes, user, writtenAccounts(container));
}
