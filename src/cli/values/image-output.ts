// What an output says of the image that it writes: names, compression, media types. BuildKit's words (exporter/containerimage/exptypes/keys.go,
// util/compression).

import { TbuildError } from '../../base/errors.ts';
import { parseBool } from '../../base/parse-bool.ts';
import type { ImageForm } from '../../build/outputs/image.ts';
import { nearest } from '../nearest.ts';

export type Values = ReadonlyMap<string, string>;

export const imageKeys = [
  'name',
  'compression',
  'compression-level',
  'force-compression',
  'oci-mediatypes',
  'rewrite-timestamp',
  'dangling-name-prefix',
  'name-canonical',
] as const;

type ImageValues = Omit<ImageForm, 'annotations'>;

export function imageValues(values: Values): ImageValues {
  refuseImageKeys(values);
  const names = namesOf(values);
  const isDocker = readBoolean(values, 'oci-mediatypes') === false;
  return { ...(names && { names }), ...compressionOf(values), ...(isDocker && { mediaTypes: 'docker' }) };
}

/** By its digest alone is no pushing by itself (BuildKit: exporter/containerimage). */
export function pushValue(values: Values, isRegistry: boolean): 'name' | 'digest' | undefined {
  const isByDigest = readBoolean(values, 'push-by-digest') ?? false;
  if (!(readBoolean(values, 'push') ?? isRegistry)) return undefined;
  return isByDigest ? 'digest' : 'name';
}

/** `*` is the names of the build. */
function namesOf(values: Values): readonly string[] | undefined {
  const text = values.get('name');
  return text === undefined || text === '*' || text === '' ? undefined : text.split(',').map((name) => name.trim());
}

/** BuildKit's util/compression. */
function compressionOf(values: Values): Pick<ImageForm, 'compression' | 'compressionLevel' | 'forceCompression'> {
  const text = values.get('compression');
  if (text === 'estargz') throw unsupported('compression=estargz', 'gzip, zstd and uncompressed are there');
  if (text !== undefined && text !== 'gzip' && text !== 'zstd' && text !== 'uncompressed') {
    const meant = nearest(text, ['gzip', 'zstd', 'uncompressed']);
    throw new TbuildError('usage/bad-value', `compression in --output is gzip, zstd or uncompressed, not "${text}"`, {
      hint: meant && `did you mean compression=${meant}?`,
    });
  }
  const level = readLevel('compression-level in --output', values.get('compression-level'), text);
  const force = readBoolean(values, 'force-compression');
  return {
    ...(text !== undefined && { compression: text === 'uncompressed' ? ('none' as const) : text }),
    ...(level !== undefined && { compressionLevel: level }),
    ...(force && { forceCompression: true }),
  };
}

/** Undefined: the compression's own default. `flag`: as messages call it. */
export function readLevel(flag: string, text: string | undefined, compression: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const most = compression === 'zstd' ? 22 : 9;
  const level = Number(text);
  if (!/^\d{1,2}$/.test(text) || level > most) throw new TbuildError('usage/bad-value', `${flag} is 0 to ${most}, not "${text}"`);
  // Of zstd, 0 is the default.
  return compression === 'zstd' && level === 0 ? undefined : level;
}

/** What only a registry, or another kind of store, gives a meaning. */
function refuseImageKeys(values: Values): void {
  for (const key of ['store', 'unpack'])
    if (readBoolean(values, key) === false) throw unsupported(`${key}=false`, 'type=cacheonly writes nothing');
  if (readBoolean(values, 'name-canonical')) throw unsupported('name-canonical=true', 'names with a digest come from registries');
  if (values.has('dangling-name-prefix')) throw unsupported('dangling-name-prefix', 'names with a digest come from registries');
  if (readBoolean(values, 'rewrite-timestamp'))
    throw unsupported('rewrite-timestamp=true', '--reproducible makes layers with one time');
}

function unsupported(what: string, hint: string): TbuildError {
  return new TbuildError('unsupported/output', `--output does not support ${what}`, { hint });
}

export function readBoolean(values: Values, key: string): boolean | undefined {
  const text = values.get(key);
  if (text === undefined) return undefined;
  const value = parseBool(text);
  if (value !== undefined) return value;
  throw new TbuildError('usage/bad-value', `${key} in --output is true or false, not "${text}"`);
}
