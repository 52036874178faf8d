// What a volume is: a directory of the store that outlives containers, with a name, labels, and the options of docker's `local` driver. Pure.

import { randomBytes } from 'node:crypto';
import { TbuildError } from '../../base/errors.ts';

export interface Volume {
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly created: number;
  readonly labels: Readonly<Record<string, string>>;
  /** As they were given: `type`, `o`, `device`. */
  readonly options: Readonly<Record<string, string>>;
  /** Where its files are, whatever its options say: docker's Mountpoint. */
  readonly directory: string;
}

/** What a container mounts. */
export type VolumeSource =
  | { readonly kind: 'directory'; readonly path: string; readonly readonly: boolean }
  | { readonly kind: 'tmpfs'; readonly options: readonly string[] };

/** By which docker knows volumes that nobody named. */
export const ANONYMOUS = 'com.docker.volume.anonymous';

export const isAnonymous = ({ labels }: Pick<Volume, 'labels'>): boolean => Object.hasOwn(labels, ANONYMOUS);

export const newVolumeName = (): string => randomBytes(32).toString('hex');

/** Longer ones have no place in a directory. */
const NAME_BYTES_MAX = 255;

/** Docker's rules and words (moby volume/service, volume/local). Throws `volume/bad-name`. */
export function checkVolumeName(name: string): void {
  const wrong = (why: string) => new TbuildError('volume/bad-name', `create ${name}: ${why}`);
  if (name.length === 1) throw wrong('volume name is too short, names should be at least two alphanumeric characters');
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)) {
    throw wrong(
      `"${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    );
  }
  if (name.length > NAME_BYTES_MAX) throw wrong(`volume name is too long, names should be at most ${NAME_BYTES_MAX} characters`);
}

/** Throws `volume/bad-option`, `unsupported/volume`. What nobody asks to be mounted is not looked at before. */
export function checkVolumeOptions(name: string, options: Readonly<Record<string, string>>): void {
  const wrong = (why: string) => new TbuildError('volume/bad-option', `create ${name}: ${why}`);
  const given = Object.keys(options);
  for (const key of given) {
    if (key === 'size') throw wrong('quota size requested but no quota support');
    if (!['type', 'o', 'device'].includes(key)) throw wrong(`invalid option: "${key}"`);
  }
  // moby volume/local: any of them needs the other.
  for (const needed of ['device', 'type']) {
    if (given.length > 0 && !Object.hasOwn(options, needed)) throw wrong(`missing required option: "${needed}"`);
  }
  sourceOf({ name, options, directory: '' });
}

/** Where its files are: its own directory, one of the host, or memory. */
export function sourceOf({ name, options, directory }: Pick<Volume, 'name' | 'options' | 'directory'>): VolumeSource {
  const { type, o = '', device = '' } = options;
  if (type === undefined) return { kind: 'directory', path: directory, readonly: false };
  const words = o.split(',').filter((word) => word !== '');
  if (type === 'tmpfs') return { kind: 'tmpfs', options: words };
  const others = words.filter((word) => !['bind', 'rbind', 'ro', 'rw'].includes(word));
  const isBind = words.includes('bind') || words.includes('rbind');
  if (!isBind || others.length > 0 || !device.startsWith('/')) {
    throw new TbuildError('unsupported/volume', `the volume ${name} cannot be mounted: type=${type}, o=${o}, device=${device}`, {
      hint: 'a volume is a directory (type=none, o=bind, device=/PATH), memory (type=tmpfs), or has no options',
    });
  }
  return { kind: 'directory', path: device, readonly: words.includes('ro') };
}
