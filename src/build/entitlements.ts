// What a Dockerfile may only do when whoever builds says so: the host's network, no sandbox, devices (`--allow`; BuildKit: util/entitlements,
// llbsolver/vertex.go). Asked before anything runs, for every step of the graph: a result from the cache is no way around it.

import { TbuildError } from '../base/errors.ts';
import { locate } from '../dockerfile/errors.ts';
import type { RunDevice, RunOperation, Step } from '../plan/graph.ts';
import type { CdiDevices } from '../sandbox/cdi.ts';
import { type DeviceEdits, NO_DEVICES } from '../sandbox/container-config.ts';

export interface Entitlements {
  readonly networkHost: boolean;
  readonly securityInsecure: boolean;
  /** Every device, or those named: each with the device that it stands for, where it is an alias. */
  readonly devices: 'all' | ReadonlyMap<string, string | undefined>;
}

export const NOTHING_ALLOWED: Entitlements = { networkHost: false, securityInsecure: false, devices: new Map() };

export type FindDevices = (requests: readonly RunDevice[]) => DeviceEdits;

/** Throws `usage/not-allowed`, with the place of the instruction. Returns how the devices of a RUN are found. */
export async function checkEntitlements(steps: readonly Step[], allowed: Entitlements): Promise<FindDevices> {
  const runs = steps.flatMap(({ op, where }) => (op.kind === 'run' ? [{ op, where }] : []));
  const find = runs.some(({ op }) => op.devices.length > 0) ? await findRegistered(allowed) : () => NO_DEVICES;
  for (const { op, where } of runs) {
    const check = () => checkRun(op, allowed, find);
    if (where) locate(where, check);
    else check();
  }
  return find;
}

function checkRun(op: RunOperation, allowed: Entitlements, find: FindDevices): void {
  if (op.network === 'host' && !allowed.networkHost) throw notAllowed('network.host is not allowed', 'network.host');
  if (op.security === 'insecure' && !allowed.securityInsecure) {
    throw notAllowed('security.insecure is not allowed', 'security.insecure');
  }
  find(op.devices);
}

async function findRegistered(allowed: Entitlements): Promise<FindDevices> {
  const { CdiDevices, cdiFolders } = await import('../sandbox/cdi.ts');
  const registered = await CdiDevices.read(cdiFolders(process.env));
  return (requests) => registered.edits([...new Set(requests.flatMap((request) => grant(registered, request, allowed)))]);
}

/** The devices that a request stands for. An alias is one for a device that its granter chose. */
function grant(registered: CdiDevices, { name, required }: RunDevice, { devices }: Entitlements): string[] {
  if (devices === 'all') return registered.require(name, required);
  const aliased = devices.get(name);
  if (aliased !== undefined) return registered.require(aliased, required);
  const found = registered.require(name, required);
  const granted = new Set([...devices.keys()].flatMap((one) => registered.find(one)));
  const forbidden = found.filter((one) => !granted.has(one) && !registered.isAutoAllowed(one));
  if (forbidden.length === 0) return found;
  const [one, ...others] = forbidden;
  const what = others.length === 0 ? `device ${one} is` : `devices ${forbidden.join(', ')} are`;
  throw notAllowed(`${what} requested by the build but not allowed`, `device=${one}`);
}

function notAllowed(message: string, entitlement: string): TbuildError {
  return new TbuildError('usage/not-allowed', message, {
    hint: `allow it, if this Dockerfile is to be trusted with it: --allow ${entitlement}`,
  });
}
