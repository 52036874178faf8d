// The steps of a build in the shape that BuildKit's provenance has for them: LLB's protobuf messages as JSON (solver/pb/ops.proto), where in the
// Dockerfile each stands, and the layers that they are. Told from the plan; nothing of the machine is in it.

import { basename } from 'node:path';
import { redactUrl } from '../../http/url.ts';
import type { Platform } from '../../oci/config.ts';
import { type Descriptor, layerMediaType } from '../../oci/descriptor.ts';
import type { CopyOperation, RunMount, RunOperation, Step, Target } from '../../plan/graph.ts';
import { stepsBelow } from '../../plan/graph.ts';
import { remoteName } from '../../plan/remote.ts';
import type { Layers } from '../../snapshots/layers.ts';
import { inputsOf, type Solved } from '../../solve/solver.ts';
import type { State } from '../../steps/step.ts';
import { isLayoutReference } from '../contexts/layout-images.ts';

/** The steps that a target needs, in the build's order. */
export function stepsOf({ state }: Target, steps: readonly Step[]): Step[] {
  const needed = new Set<number>();
  const todo = state === undefined ? [] : [state];
  for (let id = todo.pop(); id !== undefined; id = todo.pop()) {
    if (needed.has(id)) continue;
    needed.add(id);
    todo.push(...inputsOf(steps[id] as Step));
  }
  return steps.filter(({ id }) => needed.has(id));
}

/** `step0` is the first of `steps`. */
export function describeSteps(steps: readonly Step[]): object[] {
  const names = namesOf(steps);
  return steps.map((step) => {
    const inputs = inputsOf(step).map((id) => `${names.get(id)}:0`);
    return {
      id: names.get(step.id),
      op: { Op: describeOperation(step, inputs), ...platformOf(step) },
      ...(inputs.length > 0 && { inputs }),
    };
  });
}

const namesOf = (steps: readonly Step[]): Map<number, string> =>
  new Map(steps.map(({ id }, position) => [id, `step${position}`]));

function platformOf({ op }: Step): { platform?: object } {
  if (op.kind !== 'image' && op.kind !== 'run') return {};
  const { architecture, os, variant }: Platform = op.platform;
  return { platform: { Architecture: architecture, OS: os, ...(variant !== undefined && { Variant: variant }) } };
}

function describeOperation({ op, parent }: Step, inputs: readonly string[]): object {
  const hasRoot = parent !== undefined;
  switch (op.kind) {
    case 'image':
      return source(
        isLayoutReference(op.reference) ? `oci-layout://${basename(op.reference)}` : `docker-image://${op.reference}`,
      );
    case 'context':
      return source(`local://${op.name === '' ? 'context' : op.name}`);
    case 'http':
      return source(redactUrl(op.url));
    case 'git':
      return source(`git://${remoteName(op).replace(/^[a-z]+:\/\//, '')}`);
    case 'workdir':
      return file([{ mkdir: { path: op.path, mode: 0o755, makeParents: true } }], inputs, hasRoot);
    case 'copy':
      return file(copyActions(op), inputs, hasRoot);
    default:
      return { exec: describeRun(op, hasRoot) };
  }
}

const source = (identifier: string) => ({ source: { identifier } });

/** The first input is what is written to, unless that is empty; the next what is read. */
function file(actions: readonly object[], inputs: readonly string[], hasRoot: boolean): object {
  const input = hasRoot ? 0 : -1;
  const secondaryInput = inputs.length > input + 1 ? input + 1 : -1;
  return {
    file: { actions: actions.map((Action) => ({ input, secondaryInput, output: 0, Action })) },
  };
}

function copyActions({ paths, inline, remotes, destination, owner, exclude, mode }: CopyOperation): object[] {
  const shared = {
    dest: destination,
    ...(owner && { owner: { user: owner.user, ...(owner.group !== undefined && { group: owner.group }) } }),
    ...(mode !== undefined && { modeStr: mode }),
    createDestPath: true,
  };
  const copied = paths.map((src) => ({ copy: { src, ...shared, ...(exclude.length > 0 && { excludePatterns: exclude }) } }));
  const fetched = remotes.map(() => ({ copy: { src: '/', ...shared } }));
  const written = inline.map(({ name, content }) => ({
    mkfile: { path: name, ...shared, data: Buffer.from(content).toString('base64') },
  }));
  return [...copied, ...fetched, ...written];
}

function describeRun({ args, env, user, workdir, mounts, network, security, hostname }: RunOperation, hasRoot: boolean): object {
  const meta = { args, env, cwd: workdir, ...(user !== '' && { user }), ...(hostname !== undefined && { hostname }) };
  let input = hasRoot ? 0 : -1;
  const described = mounts.map((mount) => {
    const from = (mount.type === 'bind' || mount.type === 'cache') && mount.from !== undefined;
    if (from) input += 1;
    return { input: from ? input : -1, ...describeMount(mount) };
  });
  return {
    meta,
    mounts: [{ input: hasRoot ? 0 : -1, dest: '/', output: 0 }, ...described],
    ...(network !== 'default' && { network: network === 'host' ? 1 : 2 }),
    ...(security === 'insecure' && { security: 1 }),
  };
}

/** Of secrets and agents who may have them, never what they are. */
function describeMount(mount: RunMount): object {
  switch (mount.type) {
    case 'bind':
      return { dest: mount.target, selector: mount.source, ...(!mount.writable && { readonly: true }), output: -1 };
    case 'cache':
      return { dest: mount.target, mountType: 3, cacheOpt: { ID: mount.id, sharing: mount.sharing }, output: -1 };
    case 'tmpfs':
      return { dest: mount.target, mountType: 4, output: -1 };
    default: {
      const { id, uid, gid, mode, required } = mount;
      const option = { ID: id, uid, gid, mode, ...(!required && { optional: true }) };
      return mount.type === 'secret'
        ? { dest: mount.target ?? '', mountType: 1, secretOpt: option, output: -1 }
        : { dest: mount.target ?? '', mountType: 2, SSHOpt: option, output: -1 };
    }
  }
}

/** The Dockerfile, and which of its lines steps are of. */
export function describeSource(steps: readonly Step[], filename: string, bytes: Buffer): object {
  return { locations: locateSteps(steps), infos: [{ filename, language: 'Dockerfile', data: bytes.toString('base64') }] };
}

export function locateSteps(steps: readonly Step[]): object {
  const names = namesOf(steps);
  const located = steps.flatMap(({ id, where }) => {
    if (!where) return [];
    const { startLine, endLine, endColumn } = where.range;
    // Ours end before a column: at the beginning of a line, the last line is the one before.
    const last = endColumn === 0 && endLine > startLine ? endLine - 1 : endLine;
    const ranges = [{ start: { line: startLine }, end: { line: last } }];
    return [[names.get(id), { locations: [{ ranges }] }]];
  });
  return Object.fromEntries(located) as object;
}

/**
 * The layers that the image has after each of the steps that it is made of, as they are when nothing is compressed: how they are compressed is up to
 * whoever writes the image.
 */
export async function describeLayers(
  target: Target,
  steps: readonly Step[],
  all: readonly Step[],
  solved: ReadonlyMap<number, Solved>,
  state: State,
  layers: Layers,
): Promise<object> {
  const names = namesOf(steps);
  const described = await Promise.all(state.map((layer) => layers.describe(layer)));
  const descriptors = described.map(
    ({ diffId, tarSize }): Descriptor => ({ mediaType: layerMediaType('none'), digest: diffId, size: tarSize }),
  );
  const lists = stepsBelow(target, all).map(({ id }) => {
    const result = solved.get(id)?.result;
    const count = result?.kind === 'state' ? result.state.length : 0;
    return [`${names.get(id)}:0`, [descriptors.slice(0, count)]] as const;
  });
  return Object.fromEntries(lists.filter(([, [own]]) => (own?.length ?? 0) > 0));
}
