// Which stages there are, what each stands on and takes from, and which of them the target needs
// (BuildKit: dockerfile2llb/convert.go, toDispatchState up to the dispatching). Asks for no image.

import { type Location, TbuildError } from '../base/errors.ts';
import type { Checks } from '../dockerfile/checks.ts';
import { dockerfileError, locate, type Place } from '../dockerfile/errors.ts';
import type { Dockerfile, Instruction, Stage } from '../dockerfile/instructions.ts';
import { mountOption, readMountSource } from '../dockerfile/mount.ts';
import { parseTrigger } from '../dockerfile/parse.ts';
import { didYouMean } from '../dockerfile/suggest.ts';
import { type Environment, expand } from '../dockerfile/words.ts';
import type { Platform } from '../oci/config.ts';
import { parsePlatform } from '../oci/platform.ts';
import { normalizeName } from '../oci/reference.ts';
import { FromChecks } from './checks.ts';
import { findContext, type NamedContexts } from './named-contexts.ts';
import type { Pins } from './pins.ts';

/** What a stage stands on, or what a COPY or a mount takes from. */
export type Source =
  | { readonly kind: 'scratch' }
  | { readonly kind: 'stage'; readonly stage: StageNode }
  | { readonly kind: 'image'; readonly reference: string; readonly written: string }
  | { readonly kind: 'context'; readonly name: string; readonly shown: string | undefined };

/** `--build-context`, and the platform that those without one are for; what images are held to. */
interface Replacements {
  readonly contexts: NamedContexts;
  readonly target: Platform;
  readonly pins: Pins | undefined;
}

export interface PlannedInstruction {
  readonly instruction: Instruction;
  /** COPY: one or none; RUN: one for each mount, undefined where it names nothing. */
  readonly sources: readonly (Source | undefined)[];
  /** It came from an ONBUILD. */
  readonly isTrigger: boolean;
}

export interface StageNode {
  readonly index: number;
  /** The name it has in the Dockerfile. */
  readonly name: string | undefined;
  readonly base: Source;
  /** Undefined: that of the base, or the target's. */
  readonly platform: Platform | undefined;
  readonly where: Location;
  /** Of what it stands on. */
  readonly basePlace: Place;
  readonly comments: readonly string[];
  /** Triggers are put before the others when the base is known. */
  instructions: PlannedInstruction[];
  /** How many steps `[build 2/7]` counts. */
  stepCount: number;
}

export interface Stages {
  readonly nodes: readonly StageNode[];
  readonly target: StageNode;
  /** How the stage is called in steps; empty when there is nothing to tell it from. */
  shownName(node: StageNode): string;
  /** Puts an ONBUILD's instructions before the stage's own. */
  addTriggers(node: StageNode, triggers: readonly string[]): void;
  /** The target and what it needs, or all of them; bases and sources before what stands on them where the file has them so. */
  reachable(): StageNode[];
}

export function resolveStages(
  dockerfile: Dockerfile,
  scope: Environment,
  options: {
    readonly target: string;
    readonly contexts: NamedContexts;
    readonly platform: Platform;
    readonly pins: Pins | undefined;
    readonly checks: Checks;
    readonly allStages: boolean;
  },
): Stages {
  const checks = new FromChecks(dockerfile, scope, options.checks);
  const replacements: Replacements = { contexts: options.contexts, target: options.platform, pins: options.pins };
  const nodes: StageNode[] = [];
  const byName = new Map<string, StageNode>();
  for (const [index, stage] of dockerfile.stages.entries()) {
    const node = locate(stage.where, () => resolveStage(stage, index, scope, dockerfile, byName, replacements, checks));
    nodes.push(node);
    if (stage.name !== undefined) byName.set(stage.name, node);
  }
  const target = findTarget(options.target, nodes, byName, dockerfile);

  // Sources that are no stage of the file count as stages when steps are named: `stage-0` appears with the first.
  let sourceCount = 0;
  const attach = (instruction: Instruction, isTrigger: boolean): PlannedInstruction => {
    const sources = locate(instruction.where, () => sourcesOf(instruction, nodes, byName, replacements));
    const isRun = instruction.kind === 'run';
    sourceCount += sources.filter((source) => (source === undefined ? isRun : source.kind !== 'stage')).length;
    return { instruction, sources, isTrigger };
  };
  for (const node of nodes) {
    const replaced = node.name !== undefined && contextSource(node.name, node.platform, replacements) !== undefined;
    if (!replaced) node.instructions = dockerfile.stages[node.index]!.instructions.map((one) => attach(one, false));
  }
  refuseCycles(nodes);

  let triggerCount = 0;
  return {
    nodes,
    target,
    shownName: (node) => (nodes.length + sourceCount === 1 ? '' : (node.name ?? `stage-${node.index}`)),
    addTriggers: (node, triggers) => {
      const planned = triggers.map((trigger) => attach(parseTrigger(trigger, node.where), true));
      triggerCount += triggers.length;
      if (triggerCount > maxTriggers) throw dockerfileError('too-large', `more than ${maxTriggers} ONBUILD triggers`, node.where);
      node.instructions = [...planned, ...node.instructions];
      node.stepCount += triggers.length;
    },
    reachable: () => {
      if (options.allStages) return nodes;
      const reached = reach(target);
      return nodes.filter((node) => reached.has(node));
    },
  };
}

/** Each stage that begins from one with triggers has them all: their number may be the square of the file's length. */
const maxTriggers = 20_000;

function resolveStage(
  stage: Stage,
  index: number,
  scope: Environment,
  { escapeToken }: Dockerfile,
  byName: ReadonlyMap<string, StageNode>,
  replacements: Replacements,
  checks: FromChecks,
): StageNode {
  const expansion = locate(stage.places.argument(0), () => expand(stage.base, scope, { escapeToken }));
  checks.arguments(stage, expansion);
  const { value: name, unmatched } = expansion;
  const meant = hintForUnset(unmatched, scope);
  if (name === '') {
    throw dockerfileError('base-name', `base name (${stage.base}) should not be blank`, stage.places.argument(0), meant);
  }
  const platform = locate(stage.places.flagValue('platform'), () =>
    stage.platform === undefined ? undefined : resolvePlatform(stage, stage.platform, scope, escapeToken, checks),
  );
  const replacement = stage.name === undefined ? undefined : contextSource(stage.name, platform, replacements);
  const earlier = byName.get(name);
  const base: Source =
    replacement ??
    (earlier
      ? { kind: 'stage', stage: earlier }
      : locate(stage.places.argument(0), () => withHint(meant, () => namedSource(name, platform, replacements))));
  const makesSteps = ['add', 'copy', 'run', 'workdir'];
  const ownSteps = stage.instructions.filter(({ kind }) => makesSteps.includes(kind)).length;
  return {
    index,
    name: stage.name,
    base,
    platform,
    where: stage.where,
    basePlace: stage.places.argument(0),
    comments: stage.comments,
    instructions: [],
    stepCount: ownSteps + (base.kind === 'scratch' || base.kind === 'stage' ? 0 : 1),
  };
}

function resolvePlatform(
  stage: Stage,
  written: string,
  scope: Environment,
  escapeToken: Dockerfile['escapeToken'],
  checks: FromChecks,
): Platform {
  const expansion = expand(written, scope, { escapeToken });
  checks.arguments(stage, expansion);
  checks.redundantPlatform(stage, expansion);
  checks.constantPlatform(stage, expansion);
  const { value, unmatched } = expansion;
  if (value !== '') return readPlatform(value, written);
  const hint = hintForUnset(unmatched, scope);
  throw dockerfileError('platform', `empty platform value from expression ${written}`, undefined, hint);
}

/** What is no platform is a mistake in the Dockerfile, here. */
function readPlatform(value: string, written: string): Platform {
  try {
    return parsePlatform(value);
  } catch (error) {
    if (!(error instanceof TbuildError)) throw error;
    throw dockerfileError('platform', `failed to parse platform ${written}: ${error.message}`, undefined, error.hint);
  }
}

/** What FROM was to stand on may have come to nothing because a variable did. */
function hintForUnset(unmatched: ReadonlySet<string>, scope: Environment): string | undefined {
  const [name] = unmatched;
  if (name === undefined) return undefined;
  const meant = didYouMean(name, [...scope.keys()]);
  return meant === undefined ? `${name} has no value: FROM sees the ARGs before the first FROM` : `did you mean ${meant}?`;
}

/** An error without a hint gets this one. */
function withHint<T>(hint: string | undefined, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof TbuildError) || hint === undefined || error.hint !== undefined) throw error;
    throw new TbuildError(error.code, error.message, { hint, cause: error.cause });
  }
}

/** `name` as it is not that of a stage. */
function namedSource(name: string, platform: Platform | undefined, replacements: Replacements): Source {
  if (name === 'scratch') return { kind: 'scratch' };
  return contextSource(name, platform, replacements) ?? imageSource(normalizeName(name), name, replacements);
}

function imageSource(reference: string, written: string, { pins }: Replacements): Source {
  return { kind: 'image', reference: pins?.image(reference) ?? reference, written };
}

function contextSource(name: string, platform: Platform | undefined, replacements: Replacements): Source | undefined {
  const found = findContext(replacements.contexts, name, platform ?? replacements.target);
  if (found === undefined) return undefined;
  if (found.context.kind === 'directory') return { kind: 'context', name: found.name, shown: found.context.shown };
  const { reference } = found.context;
  return reference === 'scratch' ? { kind: 'scratch' } : imageSource(reference, reference, replacements);
}

function sourcesOf(
  instruction: Instruction,
  nodes: readonly StageNode[],
  byName: ReadonlyMap<string, StageNode>,
  replacements: Replacements,
): (Source | undefined)[] {
  const named = (name: string): Source => {
    const stage = byName.get(name.toLowerCase());
    return stage === undefined ? namedSource(name, undefined, replacements) : { kind: 'stage', stage };
  };
  if (instruction.kind === 'copy' && instruction.from !== undefined) {
    const { from, places } = instruction;
    return locate(places.flagValue('from'), () => {
      refuseVariables(from);
      if (!/^[+-]?\d+$/.test(from)) return [named(from)];
      const stage = nodes[Number(from)];
      if (stage !== undefined) return [{ kind: 'stage', stage }];
      throw dockerfileError(
        'unknown-stage',
        `invalid stage index ${from}`,
        undefined,
        `stages are counted from 0 to ${nodes.length - 1}`,
      );
    });
  }
  if (instruction.kind !== 'run') return [];
  return instruction.mounts.map((mount, i) => {
    const from = readMountSource(mount);
    return from === '' ? undefined : locate(sourcePlace(instruction, i), () => named(from));
  });
}

/** Where an instruction names what it takes from; of a RUN, its `index`th mount. */
export function sourcePlace(instruction: Instruction, index: number): Place {
  const { places } = instruction;
  if (instruction.kind !== 'run') return places.flagValue('from');
  const mount = places.flagValue('mount', index);
  return () => mount(mountOption(instruction.mounts[index] ?? '', 'from'));
}

function refuseVariables(from: string): void {
  const { matched, unmatched } = expand(from, new Map(), { escapeToken: '\\' });
  if (matched.size + unmatched.size === 0) return;
  throw dockerfileError(
    'copy-from',
    'variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround',
  );
}

function findTarget(
  wanted: string,
  nodes: readonly StageNode[],
  byName: ReadonlyMap<string, StageNode>,
  { stages }: Dockerfile,
): StageNode {
  if (wanted === '') return nodes.at(-1)!;
  const found = byName.get(wanted.toLowerCase());
  if (found !== undefined) return found;
  const names = [...byName.keys()];
  const meant = didYouMean(wanted.toLowerCase(), names);
  const known = names.length === 0 ? 'no stage of this Dockerfile has a name' : `its stages are ${names.join(', ')}`;
  const where = stages.findLast(({ name }) => name === meant) ?? stages.at(-1);
  throw dockerfileError(
    'unknown-target',
    `target stage "${wanted}" could not be found`,
    meant === undefined ? where?.where : where?.places.argument(2),
    meant === undefined ? known : `did you mean ${meant}?`,
  );
}

/** Every stage that a stage needs, with the place that says so. */
function* needsOf(node: StageNode): Generator<{ stage: StageNode; where: Place }> {
  if (node.base.kind === 'stage') yield { stage: node.base.stage, where: node.basePlace };
  for (const { instruction, sources } of node.instructions) {
    for (const [i, source] of sources.entries()) {
      if (source?.kind === 'stage') yield { stage: source.stage, where: sourcePlace(instruction, i) };
    }
  }
}

function reach(target: StageNode): Set<StageNode> {
  const reached = new Set([target]);
  for (const node of reached) for (const { stage } of needsOf(node)) reached.add(stage);
  return reached;
}

/** Depth first, without recursion: a hostile file has any number of stages. */
function refuseCycles(nodes: readonly StageNode[]): void {
  const done = new Set<StageNode>();
  for (const start of nodes) {
    const path = [{ node: start, needs: needsOf(start) }];
    const open = new Set([start]);
    for (let last = path.at(-1); last !== undefined; last = path.at(-1)) {
      const { node, needs } = last;
      const next = done.has(node) ? undefined : needs.next().value;
      if (next === undefined) {
        done.add(node);
        open.delete(node);
        path.pop();
      } else if (open.has(next.stage)) {
        const name = next.stage.name ?? `stage-${next.stage.index}`;
        throw dockerfileError('circular', `circular dependency detected on stage: ${name}`, next.where);
      } else {
        open.add(next.stage);
        path.push({ node: next.stage, needs: needsOf(next.stage) });
      }
    }
  }
}
