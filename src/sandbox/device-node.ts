// Device nodes: as OCI configurations name them, and as this machine has them.

import { statSync } from 'node:fs';

export interface DeviceNode {
  /** In the container. */
  readonly path: string;
  /** `c`, `b` or `p` (`u` is `c`). */
  readonly type: string;
  readonly major: number;
  readonly minor: number;
  readonly fileMode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

/** Undefined: nothing is there, or no device. */
export function nodeAt(path: string): DeviceNode | undefined {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  const type = stat?.isCharacterDevice() ? 'c' : stat?.isBlockDevice() ? 'b' : stat?.isFIFO() ? 'p' : undefined;
  return stat && type ? { path, type, ...numbersOf(stat.rdev) } : undefined;
}

/** As Linux packs them (glibc: gnu_dev_major). */
function numbersOf(device: bigint): { major: number; minor: number } {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return { major: Number(major), minor: Number(minor) };
}
