// The devices that `RUN --security=insecure` has beside the usual ones, as far as this machine has them (BuildKit:
// util/entitlements/security). For nobody else: with them a container can do to the machine what it likes.

import { readdirSync } from 'node:fs';
import { type DeviceNode, nodeAt } from './device-node.ts';

const NAMES = ['kmsg', 'cuse', 'fuse', 'kvm', 'net/tun', 'loop-control'];

export function hostDevices(): DeviceNode[] {
  const loops = readdirSync('/dev').filter((name) => /^loop\d+$/.test(name));
  return [...NAMES, ...loops].flatMap((name) => nodeAt(`/dev/${name}`) ?? []);
}
