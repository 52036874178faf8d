// Another OCI runtime in the place of the bundled one: crun, runc, or what brings a kernel of its own (kata, gVisor, krun).
// Finds it on this machine, and says how with-root calls it. Nothing of it is in a step's key (docs/cache.md).

import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { TbuildError } from '../base/errors.ts';
import type { DeviceNode } from './device-node.ts';
import type { Cgroup } from './limits.ts';
import type { Network } from './network.ts';

export interface OtherRuntime {
  /** What comes before a container's id. Paths are below the bundle, which goes with the container. */
  readonly command: readonly string[];
  /** What its containers get in place of the cgroup that was asked for. */
  readonly cgroupOf: (asked: Cgroup | undefined, devices: readonly DeviceNode[], isInsecure: boolean) => Cgroup | undefined;
  /** Its containers' /sys is the host's: the kernel mounts one only for who owns the network that it shows, and not all know another way (runc). */
  readonly bindsSys: (network: Network) => boolean;
}

/** A name in PATH, or a path. */
export function findRuntime(name: string): OtherRuntime {
  const isRoot = process.getuid?.() === 0;
  const path = name.includes('/') ? resolve(name) : findInPath(name);
  if (path === undefined || !isProgram(path)) {
    const why = name.includes('/') ? 'it is no program' : 'no such program is in PATH';
    throw new TbuildError('usage/no-runtime', `there is no OCI runtime ${name}: ${why}`, {
      hint: `install it, or name a path (crun, runc and others of this kind are meant); without --runtime tbuild uses its own`,
    });
  }
  return {
    command: [path, '--root', 'state', '--log', 'runtime.log', '--log-format', 'json', 'run'],
    cgroupOf: isRoot ? cgroupOf : cgroupOfAccount,
    bindsSys: (network) => !isRoot && network !== 'none',
  };
}

function findInPath(name: string): string | undefined {
  // Debian has runc in /usr/sbin, which ordinary users do not have in theirs.
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  return directories
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, name))
    .find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/**
 * Of an account that is not root. It has no cgroup to make one in, which crun (cgroup.c) and runc (fs/fs.go) forgive where no path is asked for;
 * in its user namespace no node can be made, and so none be opened that it could not open itself.
 */
function cgroupOfAccount(asked: Cgroup | undefined): Cgroup | undefined {
  if (asked?.limits && asked.parent === undefined) {
    throw new TbuildError('unsupported/limits', 'limits take root, or a cgroup that is delegated to this account', {
      hint: 'name the one that is delegated: --cgroup-parent',
    });
  }
  return asked;
}

/**
 * Other runtimes always make a cgroup: under this name it is found and removed, whatever became of them. They make nodes in a /dev that is not
 * nodev, so the devices cgroup says what may be opened there (the default devices they add themselves).
 */
function cgroupOf(asked: Cgroup | undefined, devices: readonly DeviceNode[], isInsecure: boolean): Cgroup {
  const given = devices.map(({ type, major, minor }) => ({
    allow: true,
    type: type === 'u' ? 'c' : type,
    major,
    minor,
    access: 'rwm',
  }));
  const listed = [{ allow: false, access: 'rwm' }, ...given];
  return { parent: '/', ...asked, ...(!isInsecure && { devices: asked?.devices ?? listed }) };
}
