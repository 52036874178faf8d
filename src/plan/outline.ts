// What a target can be given: build arguments, secrets, SSH agents, cache mounts, of the target and of all that it needs
// (BuildKit: dockerfile2llb/outline.go). Made from a plan, in which variables have their values.

import type { Location } from '../base/errors.ts';
import { describe } from '../dockerfile/description.ts';
import type { ArgInstruction, Dockerfile } from '../dockerfile/instructions.ts';
import { expand } from '../dockerfile/words.ts';
import { type BuildArgs, givenArg } from './global-scope.ts';
import type { RunMount } from './graph.ts';
import type { StagePlan } from './plan.ts';
import type { StageNode } from './stages.ts';

export interface Outline {
  readonly name: string | undefined;
  readonly description: string | undefined;
  readonly args: readonly OutlineArg[];
  readonly secrets: readonly OutlineMount[];
  readonly ssh: readonly OutlineMount[];
  readonly caches: readonly OutlineMount[];
}

export interface OutlineArg {
  readonly name: string;
  readonly value: string;
  readonly description: string | undefined;
  readonly where: Location;
}

export interface OutlineMount {
  readonly id: string;
  readonly required: boolean;
  readonly where: Location;
}

export function outlineOf(dockerfile: Dockerfile, plan: StagePlan, buildArgs: BuildArgs): Outline {
  const { name, index } = plan.target;
  return {
    name,
    description: describe(dockerfile.stages[index]!.comments, name),
    args: inOrder(argsOf(dockerfile, plan, buildArgs)),
    secrets: mountsOf(plan, 'secret'),
    ssh: mountsOf(plan, 'ssh'),
    caches: mountsOf(plan, 'cache'),
  };
}

/** A name is listed once: as the stage nearest to the target has it. */
function argsOf(dockerfile: Dockerfile, plan: StagePlan, buildArgs: BuildArgs): OutlineArg[] {
  const globals = globalArgs(dockerfile, plan);
  const listed = new Map<string, OutlineArg>();
  const list = (arg: OutlineArg) => listed.has(arg.name) || listed.set(arg.name, arg);
  for (const node of nodesOf(plan.target)) {
    const used = namesInFrom(dockerfile, node, plan);
    for (const arg of stageArgs(node, plan, buildArgs)) {
      if (arg.isInherited) used.push(arg.name);
      else list(arg);
    }
    for (const name of withNeeded(used, globals)) list(globals.get(name)!);
  }
  return [...listed.values()];
}

/** A stage, then what it stands on, then what it takes from. */
function nodesOf(target: StageNode): Set<StageNode> {
  const nodes = new Set<StageNode>();
  const waiting = [target];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    if (nodes.has(node)) continue;
    nodes.add(node);
    const sources = node.instructions.flatMap((planned) => planned.sources);
    for (const source of sources.toReversed()) if (source?.kind === 'stage') waiting.push(source.stage);
    if (node.base.kind === 'stage') waiting.push(node.base.stage);
  }
  return nodes;
}

interface GlobalArg extends OutlineArg {
  /** Arguments that its default is made from. */
  readonly needs: ReadonlySet<string>;
}

function globalArgs({ globalArgs: instructions, escapeToken }: Dockerfile, { globalScope }: StagePlan): Map<string, GlobalArg> {
  const args = new Map<string, GlobalArg>();
  for (const { args: declared, where, comments } of instructions) {
    for (const { name, value } of declared) {
      const needs = new Set(value === undefined ? [] : expand(value, globalScope, { escapeToken }).matched);
      // `ARG a=${a}x`: what the earlier one was made from.
      if (needs.delete(name)) for (const older of args.get(name)?.needs ?? []) needs.add(older);
      args.set(name, { name, value: globalScope.get(name) ?? '', description: describe(comments, name), where, needs });
    }
  }
  return args;
}

function namesInFrom({ stages, escapeToken }: Dockerfile, node: StageNode, { globalScope }: StagePlan): string[] {
  const { base, platform = '' } = stages[node.index]!;
  return [base, platform].flatMap((word) => [...expand(word, globalScope, { escapeToken }).matched]);
}

/** Those of the names that are global arguments, and what these need. */
function withNeeded(names: readonly string[], globals: ReadonlyMap<string, GlobalArg>): Set<string> {
  const needed = new Set(names.filter((name) => globals.has(name)));
  for (const name of needed) for (const other of globals.get(name)!.needs) if (globals.has(other)) needed.add(other);
  return needed;
}

/** `isInherited`: it has its value from the global scope, and is described there. */
function stageArgs(node: StageNode, plan: StagePlan, buildArgs: BuildArgs): (OutlineArg & { readonly isInherited: boolean })[] {
  const values = new Map(plan.stateOf(node).args.map(({ name, value }) => [name, value]));
  const instructions = node.instructions.map(({ instruction }) => instruction).filter((one) => one.kind === 'arg');
  return instructions.flatMap(({ args, where, comments }: ArgInstruction) =>
    args.map(({ name, value: initial }) => {
      const value = values.get(name);
      const isInherited = initial === undefined && givenArg(buildArgs, name) === undefined && plan.globalScope.has(name);
      return { name, value: value ?? '', description: describe(comments, name), where, isInherited };
    }),
  );
}

/** In the plan's steps every mount of a stage that is needed is there, and no other. */
function mountsOf({ graph }: StagePlan, type: 'secret' | 'ssh' | 'cache'): OutlineMount[] {
  const listed = new Map<string, OutlineMount>();
  for (const { op, where } of graph.steps) {
    if (op.kind !== 'run' || where === undefined) continue;
    for (const mount of op.mounts) {
      if (mount.type !== type || listed.has(mount.id)) continue;
      listed.set(mount.id, { id: mount.id, required: isRequired(mount), where });
    }
  }
  return inOrder([...listed.values()]);
}

const isRequired = (mount: RunMount): boolean => 'required' in mount && mount.required;

function inOrder<T extends { readonly where: Location }>(list: readonly T[]): T[] {
  return list.toSorted((a, b) => a.where.range.startLine - b.where.range.startLine);
}
