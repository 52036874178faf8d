// `-v SOURCE:TARGET[:ro|rw]`: a path of the host, or a named volume that is made when it is first used.

import { mkdirSync, statSync } from 'node:fs';
import { isAbsolute, normalize } from 'node:path';
import { TbuildError } from '../base/errors.ts';
import type { Store } from '../base/store.ts';

export interface VolumeMount {
  readonly source: string;
  /** Absolute, in the container. */
  readonly target: string;
  readonly type: 'dir' | 'file';
  readonly readonly: boolean;
}

/** Throws `usage/volume`. A directory of the host that is missing is made, as docker run -v makes it. */
export function parseVolume(text: string, store: Store): VolumeMount {
  const [source = '', target = '', mode = 'rw', ...rest] = text.split(':');
  const bad = (why: string) =>
    new TbuildError('usage/volume', `invalid volume ${JSON.stringify(text)}: ${why}`, { hint: 'the form is SOURCE:TARGET[:ro]' });
  if (source === '' || target === '' || rest.length > 0) throw bad('a source and a target are needed');
  if (!isAbsolute(target)) throw bad('the target must be absolute');
  if (normalize(target) === '/') throw bad('the target cannot be /');
  if (mode !== 'ro' && mode !== 'rw') throw bad(`${mode} is neither ro nor rw`);
  const path = isAbsolute(source) ? source : namedVolume(source, store, bad);
  return { source: path, target: normalize(target), type: typeOf(path), readonly: mode === 'ro' };
}

function namedVolume(name: string, store: Store, bad: (why: string) => TbuildError): string {
  if (!/^[a-zA-Z0-9][\w.-]+$/.test(name)) throw bad(`${name} is no absolute path, and no name of a volume`);
  return store.path('volumes', name, '_data');
}

function typeOf(path: string): 'dir' | 'file' {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found) return found.isDirectory() ? 'dir' : 'file';
  mkdirSync(path, { recursive: true });
  return 'dir';
}
