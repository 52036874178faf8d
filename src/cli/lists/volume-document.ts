// A volume as `inspect` describes it: docker's document (moby api/types/volume). Pure.

import { Struct } from '../../base/struct.ts';
import type { Volume } from '../../containers/volumes/volume.ts';

/** What is empty was not given, and is null. */
export function volumeDocument({ created, labels, directory, name, options }: Volume): Struct {
  const orNull = (values: Volume['labels']) => (Object.keys(values).length > 0 ? values : null);
  return new Struct({
    CreatedAt: new Date(created).toISOString().replace(/\.\d+Z$/, 'Z'),
    Driver: 'local',
    Labels: orNull(labels),
    Mountpoint: directory,
    Name: name,
    Options: orNull(options),
    Scope: 'local',
  });
}
