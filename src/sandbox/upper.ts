// Where a container's writes go: a tmpfs of a bounded size, or a folder of this process on disk.

import { mkdirSync, readFileSync } from 'node:fs';
import type { RootSpec } from '../native/with-root.ts';

/** `newPath`: gives names in a folder that goes with this process. */
export function diskUpper(newPath: () => string): RootSpec['upper'] {
  const [directory, work] = [newPath(), newPath()];
  mkdirSync(directory);
  mkdirSync(work);
  return { directory, work };
}

/** Half of the memory that is free, shared by `slots` containers. */
export function memoryUpperBytes(slots: number): number {
  const available = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
  return Math.floor((Number(available ?? 1 << 20) * 1024) / 2 / slots);
}
