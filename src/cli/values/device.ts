// --device, --device-cgroup-rule and --gpus: nodes of this machine, and devices by their CDI names (docker/cli: opts.go, opts/gpus.go; moby: daemon/devices_nvidia).

import { globSync } from 'node:fs';
import { posix } from 'node:path';
import type { ContainerSpec } from '../../containers/spec.ts';
import { readRecord } from '../../dockerfile/csv.ts';
import type { DeviceRule } from '../../sandbox/limits.ts';
import { badArgument, badValue } from './bad-argument.ts';

type Devices = ContainerSpec['devices'];

/** `HOST[:INSIDE][:rwm]`, where the host's path may be of a directory or end in `*`; or `vendor/class=name`. */
export function parseDevice(text: string): Devices {
  if (isCdiName(text)) return [{ cdi: text }];
  const parts = text.split(':');
  const [host = '', second = '', third] = parts;
  if (parts.length > 3 || host === '') throw badValue(`bad format for path: ${text}`);
  if (third !== undefined && !isAccess(third)) throw badValue(`bad mode specified: ${third}`);
  const isSecondAccess = parts.length === 2 && isAccess(second);
  const inside = second === '' || isSecondAccess ? '' : second;
  const access = third ?? (isSecondAccess ? second : 'rwm');
  for (const path of [host, inside]) {
    if (path !== '' && !path.startsWith('/')) throw badValue(`${path} is not an absolute path`);
  }
  if (host.endsWith('*')) {
    if (inside !== '') throw badValue(`device with * suffix can't have dst: ${text}`);
    return globSync(host)
      .sort()
      .map((path) => ({ host: path, path, access }));
  }
  return [{ host: posix.normalize(host), path: posix.normalize(inside || host), access }];
}

const isCdiName = (text: string) => /^[A-Za-z][\w.-]*\/[A-Za-z][\w-]*=[\w.:*-]+$/.test(text);

/** Each letter once. */
const isAccess = (text: string) => /^[rwm]{1,3}$/.test(text) && new Set(text).size === text.length;

/** `c 1:3 mr`, `a *:* rwm`. */
export function parseDeviceRule(text: string): DeviceRule {
  const [, type, major, minor, access] = /^([acb]) (\d+|\*):(\d+|\*) ([rwm]{1,3})$/.exec(text) ?? [];
  if (!type || !access) throw badArgument('--device-cgroup-rule', text, `invalid device cgroup format '${text}'`);
  const number = (name: 'major' | 'minor', written: string | undefined) => (written === '*' ? {} : { [name]: Number(written) });
  return { allow: true, type, ...number('major', major), ...number('minor', minor), access };
}

/** Drivers whose devices a CDI specification has. */
const GPU_KINDS: Readonly<Record<string, string>> = {
  '': 'nvidia.com/gpu',
  nvidia: 'nvidia.com/gpu',
  amd: 'amd.com/gpu',
  cdi: '',
};

/** `all`, a number, `device=0`, `"device=0,1"`, `driver=nvidia,count=2`. */
export function parseGpus(text: string): Devices {
  const bad = (why: string) => badArgument('--gpus', text, why);
  const values = new Map<string, string>();
  for (const { text: field } of readRecord(text, (at) => bad(`a stray quote in field ${at}`))) {
    const at = field.indexOf('=');
    const key = at < 0 ? 'count' : field.slice(0, at);
    if (values.has(key)) throw bad(`gpu request key '${key}' can be specified only once`);
    if (!['driver', 'count', 'device', 'capabilities', 'options'].includes(key))
      throw bad(`unexpected key '${key}' in '${field}'`);
    values.set(key, field.slice(at + 1));
  }
  const kind = GPU_KINDS[values.get('driver') ?? ''];
  if (kind === undefined) throw bad(`could not select device driver "${values.get('driver')}": there are nvidia, amd and cdi`);
  const [count, device] = [values.get('count'), values.get('device')];
  if (count !== undefined && device !== undefined) throw bad('cannot set both Count and DeviceIDs on device request');
  if (device !== undefined) return device.split(',').map((id) => ({ cdi: isCdiName(id) ? id : `${kind}=${id}` }));
  if (count === undefined || count === 'all' || count === '-1') return [{ cdi: `${kind || 'nvidia.com/gpu'}=all` }];
  if (!/^\d{1,3}$/.test(count)) throw bad(`count must be an integer: ${count}`);
  return Array.from({ length: Number(count) }, (_, i) => ({ cdi: `${kind || 'nvidia.com/gpu'}=${i}` }));
}
