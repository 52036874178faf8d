// `export`: a tar of what a container's root shows, without what is mounted in it.

import { closeSync, openSync } from 'node:fs';
import { placeFile } from '../../images/place-file.ts';
import { readFiles } from '../../native/files.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import type { Container } from '../containers.ts';
import { readContainer } from './container-root.ts';

/** `output`: a descriptor of ours, or a path, at which the whole of it appears or nothing. */
export async function exportTar(workplace: Workplace, container: Container, output: number | string): Promise<void> {
  const write = (fd: number) =>
    readContainer(workplace, container, false, (place) => readFiles({ place, path: '', name: '', stays: true }, fd));
  if (typeof output === 'number') return write(output);
  await placeFile(output, async (path, flags) => {
    const fd = openSync(path, flags, 0o600);
    try {
      await write(fd);
    } finally {
      closeSync(fd);
    }
  });
}
