// Devices as the Container Device Interface describes them (CNCF CDI, SPEC.md 1.0): files of a machine that say which nodes, mounts and
// variables a container needs for a device. Read when a RUN asks for one.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TbuildError } from '../base/errors.ts';
import { type DeviceEdits, HOOK_NAMES, type Hook, type HookName } from './container-config.ts';
import { type DeviceNode, nodeAt } from './device-node.ts';

type SpecReader = (text: string) => unknown;

/** In the order of precedence, the last wins. The variable is for machines, and tests, that keep theirs elsewhere. */
export function cdiFolders(env: NodeJS.ProcessEnv): string[] {
  return env.TBUILD_CDI_DIRS?.split(':').filter((folder) => folder !== '') ?? ['/etc/cdi', '/var/run/cdi'];
}

interface Edits {
  readonly env?: readonly string[];
  readonly deviceNodes?: readonly (Partial<DeviceNode> & { readonly path: string; readonly hostPath?: string })[];
  readonly mounts?: readonly {
    readonly hostPath: string;
    readonly containerPath: string;
    readonly type?: string;
    readonly options?: readonly string[];
  }[];
  readonly additionalGids?: readonly number[];
  readonly hooks?: readonly (Hook & { readonly hookName: HookName })[];
  readonly netDevices?: readonly unknown[];
  readonly intelRdt?: unknown;
}

interface Described {
  readonly annotations?: Readonly<Record<string, unknown>>;
  readonly containerEdits?: Edits;
}

interface Spec extends Described {
  readonly kind: string;
  readonly devices: readonly (Described & { readonly name: string })[];
}

interface Device {
  /** `vendor.com/class=name` */
  readonly name: string;
  readonly file: string;
  readonly spec: Spec;
  readonly own: Described;
  readonly annotations: Readonly<Record<string, unknown>>;
}

const CLASS = 'org.mobyproject.buildkit.device.class';
const AUTO_ALLOW = 'org.mobyproject.buildkit.device.autoallow';

export class CdiDevices {
  /** By name, in the order of names. */
  readonly #devices: ReadonlyMap<string, Device>;
  /** What could not be read, and why. */
  readonly #unread: readonly { readonly file: string; readonly kind: string | undefined; readonly why: string }[];

  static async read(folders: readonly string[]): Promise<CdiDevices> {
    const files = folders.flatMap(specFiles);
    const isYaml = (file: string) => !file.endsWith('.json');
    const { parse } = files.some(isYaml) ? await import('yaml') : JSON;
    return new CdiDevices(files, (file) => (isYaml(file) ? parse : JSON.parse));
  }

  private constructor(files: readonly string[], readerOf: (file: string) => SpecReader) {
    const devices = new Map<string, Device>();
    const unread: { file: string; kind: string | undefined; why: string }[] = [];
    for (const file of files) {
      let text = '';
      try {
        text = readFileSync(file, 'utf8');
        for (const device of readSpec(file, readerOf(file)(text) as Spec)) devices.set(device.name, device);
      } catch (error) {
        unread.push({ file, kind: /^\W*kind"?\s*:\s*"?([\w./-]+)/m.exec(text)?.[1], why: (error as Error).message });
      }
    }
    this.#devices = new Map([...devices].sort(([a], [b]) => (a < b ? -1 : 1)));
    this.#unread = unread;
  }

  /** `vendor/class` is its first device, `vendor/class=*` all, and a name alone those whose annotation it is (BuildKit: cdidevices). */
  find(request: string): string[] {
    const names = [...this.#devices.keys()];
    const [kind = '', name = ''] = split(request);
    const ofKind = names.filter((one) => one.startsWith(`${kind}=`));
    const found = name === '' ? ofKind.slice(0, 1) : name === '*' ? ofKind : ofKind.filter((one) => one === request);
    if (kind.includes('/') && found.length > 0) return found;
    return names.filter((one) => this.#devices.get(one)?.annotations[CLASS] === request);
  }

  /** Throws `run/device` for one that is required and not there; says why a file that may describe it was not read. */
  require(request: string, required: boolean): string[] {
    const found = this.find(request);
    const [kind] = split(request);
    const unread = this.#unread.find((one) => one.kind === kind) ?? (required ? this.#unread[0] : undefined);
    if (found.length > 0 || (!required && !unread)) return found;
    const hint = unread
      ? `${unread.file} may describe it, and was not read: ${unread.why}`
      : this.#devices.size === 0
        ? 'no CDI device is described on this machine: specifications belong in /etc/cdi or /var/run/cdi'
        : `registered are ${[...this.#devices.keys()].join(', ')}`;
    throw new TbuildError('run/device', `${required ? 'required ' : ''}device "${request}" is not registered`, { hint });
  }

  isAutoAllowed(name: string): boolean {
    return /^(?:1|t|true)$/i.test(String(this.#devices.get(name)?.annotations[AUTO_ALLOW]));
  }

  /** What a file says of all its devices comes once, before its first. */
  edits(names: readonly string[]): DeviceEdits {
    const devices = names.map((name) => this.#devices.get(name) as Device);
    const parts = devices.flatMap(({ name, spec, own }, place) => {
      const isFirst = !devices.slice(0, place).some((earlier) => earlier.spec === spec);
      return [...(isFirst ? [spec.containerEdits] : []), own.containerEdits].map((edits) => applied(edits ?? {}, name));
    });
    return {
      names,
      env: parts.flatMap(({ env }) => env),
      nodes: parts.flatMap(({ nodes }) => nodes),
      mounts: parts.flatMap(({ mounts }) => mounts),
      additionalGids: parts.flatMap(({ additionalGids }) => additionalGids),
      hooks: parts.flatMap(({ hooks }) => hooks),
    };
  }
}

function split(request: string): [kind: string, name: string] {
  const at = request.indexOf('=');
  return at < 0 ? [request, ''] : [request.slice(0, at), request.slice(at + 1)];
}

function specFiles(folder: string): string[] {
  try {
    const names = readdirSync(folder).filter((name) => /\.(?:json|ya?ml)$/.test(name));
    return names.sort().map((name) => join(folder, name));
  } catch {
    return []; // As a machine without devices has it.
  }
}

function readSpec(file: string, spec: Spec): Device[] {
  const isValid =
    isKind(spec?.kind) && Array.isArray(spec.devices) && spec.devices.every(isDevice) && isEdits(spec.containerEdits);
  if (!isValid) throw new Error('it is no CDI specification of the version 1.0 or before');
  return spec.devices.map((own) => {
    const annotations = { ...spec.annotations, ...own.annotations };
    return { name: `${spec.kind}=${own.name}`, file, spec, own, annotations };
  });
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isPath = (value: unknown): boolean => isText(value) && value.startsWith('/');
const isKind = (value: unknown): boolean => isText(value) && /^[A-Za-z][\w.-]*\/[A-Za-z][\w-]*$/.test(value);
const isList = <T>(value: readonly T[] | undefined, test: (one: T) => boolean): boolean =>
  value === undefined || (Array.isArray(value) && value.every(test));

function isDevice({ name, containerEdits }: Spec['devices'][number]): boolean {
  return isText(name) && /^[A-Za-z0-9][\w.:-]*$/.test(name) && isEdits(containerEdits);
}

/** No more than what would go wrong later; what a runtime does not take, it says itself. */
function isEdits(edits: Edits | undefined): boolean {
  return (
    isList(edits?.env, (pair) => isText(pair) && pair.indexOf('=') > 0) &&
    isList(edits?.deviceNodes, ({ path, hostPath = path }) => isPath(path) && isPath(hostPath)) &&
    isList(
      edits?.mounts,
      ({ hostPath, containerPath, options }) => isPath(hostPath) && isPath(containerPath) && isList(options, isText),
    ) &&
    isList(edits?.additionalGids, (gid) => Number.isInteger(gid) && gid >= 0) &&
    isList(edits?.hooks, isHook)
  );
}

function isHook({ hookName, path, args, env, timeout }: NonNullable<Edits['hooks']>[number]): boolean {
  const isTimeout = timeout === undefined || (Number.isInteger(timeout) && timeout > 0);
  return HOOK_NAMES.includes(hookName) && isPath(path) && isList(args, isText) && isList(env, isText) && isTimeout;
}

function applied(edits: Edits, device: string): Omit<DeviceEdits, 'names'> {
  const unknown = edits.netDevices?.[0] ? 'a network device' : edits.intelRdt ? 'Intel RDT' : undefined;
  if (unknown) {
    throw new TbuildError('unsupported/device', `the device ${device} asks for ${unknown}, which is not supported yet`, {
      hint: 'device nodes, mounts, variables, groups and hooks of a CDI specification are',
    });
  }
  return {
    env: edits.env ?? [],
    nodes: (edits.deviceNodes ?? []).map((node) => completeNode(node, device)),
    mounts: (edits.mounts ?? []).map(({ hostPath, containerPath, type, options = [] }) => {
      const isBind = type === 'bind' || options.some((option) => option === 'bind' || option === 'rbind');
      const withBind = isBind || type ? options : ['rbind', ...options];
      return { destination: containerPath, type: type ?? 'bind', source: hostPath, options: [...withBind] };
    }),
    additionalGids: edits.additionalGids ?? [],
    hooks: (edits.hooks ?? []).map(({ hookName, ...hook }) => [hookName, hook]),
  };
}

type WrittenNode = NonNullable<Edits['deviceNodes']>[number];

/** What the specification leaves open is as the machine's node has it (container-device-interface: fillMissingInfo). */
function completeNode({ path, hostPath = path, ...written }: WrittenNode, device: string): DeviceNode {
  const { type, major = 0, minor = 0, uid, gid } = written;
  const given = {
    path,
    fileMode: written.fileMode ?? 0o666,
    ...(uid !== undefined && { uid }),
    ...(gid !== undefined && { gid }),
  };
  if (type && (type === 'p' || major)) return { ...given, type, major, minor };
  const node = nodeAt(hostPath);
  if (!node || (type && type !== node.type && !(type === 'u' && node.type === 'c'))) {
    throw new TbuildError(
      'run/device',
      `the device ${device} needs the node ${hostPath}, and this machine has none of that kind`,
    );
  }
  return { ...given, type: node.type, major: node.major, minor: node.minor };
}
