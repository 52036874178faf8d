// What RUN --mount asks for: where the files of bind mounts are, secrets; and all of it as parts of a container.
// Sources are resolved here, in indexes: a path that is handed to the kernel has no symlink of an image left in it.

import { statSync } from 'node:fs';
import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { RunMount, RunOperation } from '../plan/graph.ts';
import type { Mount } from '../sandbox/container-config.ts';
import type { SandboxFile } from '../sandbox/files.ts';
import { idmapOptions, type UserNamespace } from '../sandbox/user-namespace.ts';
import { isPresent } from '../snapshots/layers.ts';
import { openSource, prepareTree } from './copy.ts';
import { selectionDigest, selectTree } from './select.ts';
import { type Prepared, type PresentState, presentState, type Result, type State, type Workshop } from './step.ts';

/** Where the files of a mount are: a path in layers. */
export interface MountSource {
  readonly layers: State;
  readonly path: string;
  readonly type: 'dir' | 'file';
  /** Everything that a RUN can see of it. */
  readonly exact: () => readonly Digest[];
}

/** Throws `context/not-found`. `layerOf` makes a layer: a context is none yet, so the part of it that is mounted becomes one. */
export async function findSource(
  workshop: Workshop,
  layerOf: (prepared: Prepared) => Promise<State[number]>,
  mount: RunMount,
  input: Result | undefined,
): Promise<MountSource | undefined> {
  // A cache that comes from nowhere, or from what has no layers, begins empty.
  if (mount.type !== 'bind' && (mount.type !== 'cache' || !input)) return undefined;
  const source = openSource(workshop, input);
  const tree = selectTree(source.tree, mount.source, source.what);
  const type = tree.entry.type === 'dir' ? 'dir' : 'file';
  if (mount.type === 'cache' && type !== 'dir') {
    throw new TbuildError(
      'run/mount',
      `a cache mount begins as a copy of a directory, and ${mount.source} is a ${tree.entry.type}`,
    );
  }
  if (input?.kind === 'context') {
    const layer = await layerOf(prepareTree(workshop, source, tree));
    return { layers: [layer], path: 'source', type, exact: () => [layer.tree] };
  }
  const layers = input?.state ?? [];
  // Of a whole stage the layers' digests are known; of a part only that part counts.
  const exact = () =>
    tree.path === '' ? layers.map((layer) => layer.tree) : [selectionDigest([{ base: '', entries: tree.list() }], true)];
  return { layers, path: tree.path, type, exact };
}

/** The same, with all the data that may be read of it. */
export async function presentSource(workshop: Workshop, source: MountSource | undefined): Promise<MountSource | undefined> {
  return source && { ...source, layers: await presentState(workshop, source.layers) };
}

export interface MountParts {
  readonly mounts: readonly Mount[];
  readonly files: readonly SandboxFile[];
  readonly stub: readonly { readonly path: string; readonly type: 'dir' | 'file' }[];
  readonly env: readonly string[];
  /** Further roots, in the order in which `mounts` name them. */
  readonly roots: readonly { readonly layers: PresentState; readonly writable: boolean }[];
}

/** Mounts, files to mount, mount points and environment. `sources`, `caches` and `sockets` (of SSH agents) are in the places of the operation's mounts. */
export function mountParts(
  workshop: Workshop,
  secret: (id: string) => Buffer | undefined,
  operation: RunOperation,
  sources: readonly (MountSource | undefined)[],
  caches: readonly (string | undefined)[],
  sockets: readonly (string | undefined)[],
  userns: UserNamespace,
): MountParts {
  const parts = {
    mounts: [] as Mount[],
    files: [] as SandboxFile[],
    stub: [] as MountParts['stub'][number][],
    env: [] as string[],
  };
  const roots: MountParts['roots'][number][] = [];
  operation.mounts.forEach((mount, place) => {
    if (mount.type === 'secret') {
      addSecret(parts, secret, mount);
      return;
    }
    if (mount.type === 'ssh') {
      const socket = sockets[place];
      if (socket === undefined) return; // Not required, and not given.
      const target = agentTarget(operation, place);
      parts.stub.push({ path: stubPath(target), type: 'file' });
      parts.mounts.push({
        destination: target,
        type: 'bind',
        source: socket,
        options: ['bind', 'nosuid', 'nodev', ...idmapOptions(userns)],
      });
      return;
    }
    const { target } = mount;
    parts.stub.push({ path: stubPath(target), type: sources[place]?.type ?? 'dir' });
    if (mount.type === 'tmpfs') {
      const size = mount.sizeBytes === undefined ? [] : [`size=${mount.sizeBytes}`];
      const options = ['nosuid', 'nodev', 'mode=1777', ...size, ...(mount.readonly ? ['ro'] : [])];
      parts.mounts.push({ destination: target, type: 'tmpfs', source: 'tmpfs', options });
      return;
    }
    const isReadonly = mount.type === 'cache' ? mount.readonly : !mount.writable;
    let source = caches[place];
    if (mount.type === 'bind') {
      const { layers, path } = sources[place] as MountSource;
      source = workshop.storePath('mnt', 'm', String(roots.length), path);
      roots.push({ layers: layers.filter(isPresent), writable: mount.writable });
    }
    // Roots that are made for this container have its owners already.
    const idmap = mount.type === 'cache' ? idmapOptions(userns) : [];
    const options = ['bind', ...(isReadonly ? ['ro'] : []), 'nodev', ...idmap];
    parts.mounts.push({ destination: target, type: 'bind', source: source as string, options });
  });
  operation.pipes.forEach(({ name, content }, place) => {
    const destination = `/dev/pipes/${name}`;
    const file = {
      name: `pipe-${place}`,
      destination,
      content: Buffer.from(content),
      mode: 0o755,
      uid: 0,
      gid: 0,
      readonly: true,
    };
    parts.files.push(file);
  });
  const first = operation.mounts.findIndex(({ type }) => type === 'ssh');
  const isSet = operation.env.some((pair) => pair.startsWith('SSH_AUTH_SOCK='));
  if (first >= 0 && !isSet) parts.env.push(`SSH_AUTH_SOCK=${agentTarget(operation, first)}`);
  return { ...parts, roots };
}

/** BuildKit numbers the ssh mounts of a RUN, those with a target of their own too (client/llb/exec.go). */
function agentTarget({ mounts }: RunOperation, place: number): string {
  const mount = mounts[place] as RunMount & { type: 'ssh' };
  const number = mounts.slice(0, place).filter(({ type }) => type === 'ssh').length;
  return mount.target ?? `/run/buildkit/ssh_agent.${number}`;
}

function addSecret(
  parts: { files: SandboxFile[]; stub: MountParts['stub'][number][]; env: string[] },
  secret: (id: string) => Buffer | undefined,
  mount: RunMount & { type: 'secret' },
): void {
  const content = secret(mount.id);
  if (!content) {
    if (!mount.required) return;
    throw new TbuildError('run/secret-missing', `secret ${mount.id} is required and was not given`, {
      hint: `give it: --secret id=${mount.id},src=FILE`,
    });
  }
  if (mount.env !== undefined) parts.env.push(`${mount.env}=${variableOf(mount.id, content)}`);
  if (mount.target === undefined) return;
  const { mode, uid, gid } = mount;
  parts.files.push({ name: `secret-${parts.files.length}`, destination: mount.target, content, mode, uid, gid, readonly: true });
  parts.stub.push({ path: stubPath(mount.target), type: 'file' });
}

/** Never with the secret in the message. */
function variableOf(id: string, content: Buffer): string {
  if (!content.includes(0)) return content.toString();
  throw new TbuildError('run/secret-value', `the secret ${id} holds a zero byte, which no variable can`, {
    hint: 'mount it as a file: leave env out, or add a target',
  });
}

/** Of a bind mount of this machine's: what it covers is of the same kind. */
export function mountPoint({ destination, source }: Mount): MountParts['stub'][number] {
  const isDirectory = statSync(source, { throwIfNoEntry: false })?.isDirectory() ?? true;
  return { path: stubPath(destination), type: isDirectory ? 'dir' : 'file' };
}

/** A mount point's path, as the stub below the image has it. */
export function stubPath(target: string): string {
  return target.replace(/^\/+|\/+$/g, '');
}
