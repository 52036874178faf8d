// Which distribution an image is of: os-release(5).

import type { ImageFiles } from './image-files.ts';

export interface Distribution {
  /** `debian`, `alpine`, `fedora`. */
  readonly id: string;
  /** `12`; undefined: a rolling one. */
  readonly version: string | undefined;
  /** As people read it. */
  readonly name: string;
}

const MAX_BYTES = 64 << 10;

export function readDistribution(files: ImageFiles): Distribution | undefined {
  const file = files.find('etc/os-release') ?? files.find('usr/lib/os-release');
  if (!file) return undefined;
  const text = files.read(file, 0, MAX_BYTES).toString();
  const values = new Map(
    [...text.matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name as string, unquote(value as string)]),
  );
  const id = values.get('ID');
  if (!id || !/^[a-z0-9._-]{1,64}$/.test(id)) return undefined;
  const version = values.get('VERSION_ID')?.slice(0, 64) || undefined;
  return { id, version, name: values.get('PRETTY_NAME')?.slice(0, 200) || id };
}

/** The qualifier of package URLs: `debian-12`. */
export function distroQualifier(distribution: Distribution | undefined): string | undefined {
  return distribution && [distribution.id, ...(distribution.version ? [distribution.version] : [])].join('-');
}

/** A value as a shell would have it. */
function unquote(value: string): string {
  const bare = value.trim();
  const quoted = /^(["'])(.*)\1$/.exec(bare)?.[2];
  return (quoted ?? bare).replaceAll(/\\(.)/g, '$1');
}
