// A parsed Dockerfile × what was asked for → the graph of steps that the target needs, its config and its history.
// Pure but for `bases`, which is asked for the configs of base images, of needed stages only.

import type { Location } from '../base/errors.ts';
import { Checks } from '../dockerfile/checks.ts';
import { dockerfileError, locate } from '../dockerfile/errors.ts';
import type { Dockerfile, WorkdirInstruction } from '../dockerfile/instructions.ts';
import type { Environment } from '../dockerfile/words.ts';
import type { ContainerConfig, Platform } from '../oci/config.ts';
import { checkDefaultBases, StageChecks } from './checks.ts';
import { type CopySource, type Ignored, planCopy } from './copy.ts';
import { type BuildArgs, readDefaultScope, readGlobalScope } from './global-scope.ts';
import type { BaseImages, CopyOperation, Graph, StepId, Target } from './graph.ts';
import { type Images, imageKey, loadImages } from './load-images.ts';
import { applyMetadata } from './metadata.ts';
import type { NamedContexts } from './named-contexts.ts';
import { checkOwner } from './owner.ts';
import { cleanPath, nextWorkdir } from './paths.ts';
import type { Pins } from './pins.ts';
import { planRun } from './run.ts';
import { mentionsScans, scansOf } from './sbom-scans.ts';
import { StageState, type Start, startFromImage, startFromScratch } from './stage-state.ts';
import { type PlannedInstruction, resolveStages, type Source, type StageNode, type Stages, sourcePlace } from './stages.ts';
import { StepList } from './step-list.ts';
import { StepNames } from './step-names.ts';

export type { NamedContext, NamedContexts } from './named-contexts.ts';

export interface PlanOptions {
  readonly buildArgs: BuildArgs;
  /** A stage's name; unset: the last stage. */
  readonly target?: string | undefined;
  /** Unset: none was asked for. The build's own is the default, and an image for another keeps what its base says. */
  readonly platform?: Platform | undefined;
  readonly buildPlatform: Platform;
  /** `--label`: they win over LABEL. */
  readonly labels: Readonly<Record<string, string>>;
  /** `--build-context`, by name. */
  readonly contexts: NamedContexts;
  /** Unset: names stand for what they stand for now. */
  readonly pins?: Pins | undefined;
  /** `--no-cache-filter`: names of stages. */
  readonly noCacheStages?: readonly string[] | undefined;
  /** Names of steps say for which platform they are. */
  readonly showsPlatform?: boolean | undefined;
  /** The one that the Dockerfile was parsed with; unset: nobody wants to know. */
  readonly checks?: Checks | undefined;
  /** Of the build context, for the checks; unset: none are known. */
  readonly ignored?: Ignored | undefined;
  /** Paths of the build context's files, for a check that looks for secrets; unset: they are not known. */
  readonly contextFiles?: (() => readonly string[]) | undefined;
  /** Stages that the target does not need are planned too. */
  readonly allStages?: boolean | undefined;
}

export async function planBuild(dockerfile: Dockerfile, options: PlanOptions, bases: BaseImages): Promise<Graph> {
  return (await planStages(dockerfile, options, bases)).graph;
}

/** A plan with what it was made from. */
export interface StagePlan {
  readonly graph: Graph;
  readonly globalScope: Environment;
  readonly target: StageNode;
  stateOf(node: StageNode): StageState;
}

export async function planStages(dockerfile: Dockerfile, options: PlanOptions, bases: BaseImages): Promise<StagePlan> {
  const platform = options.platform ?? options.buildPlatform;
  const target = options.target ?? '';
  const { buildArgs, buildPlatform, contexts, pins } = options;
  const { checks = new Checks(), ignored = () => undefined, allStages = false } = options;
  const scopeOptions = { buildArgs, target: target || (dockerfile.stages.at(-1)?.name ?? ''), platform, buildPlatform };
  const globalScope = readGlobalScope(dockerfile, scopeOptions);
  checkDefaultBases(dockerfile, () => readDefaultScope(dockerfile, scopeOptions, globalScope), checks);
  const stages = resolveStages(dockerfile, globalScope, { target, contexts, platform, pins, checks, allStages });
  const images = await loadImages(stages, platform, bases, checks);
  const plan = new Planner(dockerfile, stages, images, { ...options, globalScope, platform, checks, ignored });
  const nodes = stages.reachable();
  for (const node of nodes) plan.planStage(node);
  const stateOf = (node: StageNode) => plan.stateOf(node);
  if (checks.wantsOwn(dockerfile.text)) {
    const { advise } = await import('./advice.ts');
    const { steps } = plan.graph;
    advise({ nodes, target: stages.target, stateOf, steps, contextFiles: options.contextFiles }, checks);
  }
  const { target: targetNode } = stages;
  const targeted = targetOf(plan.stateOf(targetNode), stageLabel(targetNode), options);
  const scans = mentionsScans(dockerfile.text) ? scansOf(nodes, targetNode, globalScope, stateOf) : [];
  const graph = { steps: plan.graph.steps, target: scans.length > 0 ? { ...targeted, scans } : targeted };
  return { graph, globalScope, target: targetNode, stateOf };
}

const stageLabel = ({ name, index }: StageNode): string => name ?? String(index);

function targetOf(stage: StageState, name: string, { labels, platform }: PlanOptions): Target {
  const hasLabels = Object.keys(labels).length > 0;
  const config: ContainerConfig = hasLabels ? { ...stage.config, Labels: { ...stage.config.Labels, ...labels } } : stage.config;
  return {
    stage: name,
    state: stage.state,
    platform: platform ?? stage.imagePlatform,
    author: stage.author,
    config,
    history: stage.history,
  };
}

interface Asked extends PlanOptions {
  readonly globalScope: ReadonlyMap<string, string>;
  readonly platform: Platform;
  readonly checks: Checks;
  readonly ignored: Ignored;
}

class Planner {
  readonly graph = new StepList();
  private readonly states = new Map<StageNode, StageState>();
  private readonly dockerfile: Dockerfile;
  private readonly stages: Stages;
  private readonly images: Images;
  private readonly asked: Asked;

  constructor(dockerfile: Dockerfile, stages: Stages, images: Images, asked: Asked) {
    this.dockerfile = dockerfile;
    this.stages = stages;
    this.images = images;
    this.asked = asked;
  }

  stateOf(node: StageNode): StageState {
    return this.states.get(node)!;
  }

  planStage(node: StageNode): void {
    const shown = this.stages.shownName(node);
    const names = new StepNames(stageLabel(node), shown, node.stepCount, this.asked.showsPlatform === true);
    const first = this.graph.steps.length;
    const start = locate(node.where, () => this.begin(node, names));
    const checks = new StageChecks(this.asked.checks, node, start);
    const stage = locate(node.where, () => new StageState(start, this.graph, names, this.dockerfile.escapeToken, checks));
    for (const planned of node.instructions) {
      checks.subject = planned.instruction;
      locate(planned.instruction.where, () => this.apply(stage, planned, shown));
    }
    const isDoubted = this.asked.noCacheStages?.some((name) => name.toLowerCase() === node.name);
    if (isDoubted) this.graph.ignoreCacheFrom(first);
    this.states.set(node, stage);
  }

  private begin({ base, where, platform }: StageNode, names: StepNames): Start {
    switch (base.kind) {
      case 'scratch':
        return startFromScratch(this.asked.platform);
      case 'stage':
        return this.stateOf(base.stage).toStart();
      case 'image': {
        const wanted = platform ?? this.asked.platform;
        const name = `${names.next(false, wanted)}FROM ${base.reference}`;
        const state = this.imageState(base.reference, wanted, { name, stage: names.stage, where });
        const image = this.images.get(imageKey(base.reference, wanted));
        if (image === undefined) return { ...startFromScratch(wanted), isBaseKnown: false };
        return startFromImage(state, image, wanted);
      }
      case 'context': {
        const wanted = platform ?? this.asked.platform;
        const name = `${names.next(false, wanted)}FROM ${base.name}`;
        const op = wholeContext(this.graph.context(base.name, base.shown));
        const state = this.graph.add({ name, stage: names.stage, where, parent: undefined, op });
        return { ...startFromScratch(wanted), state };
      }
    }
  }

  /** An image without layers is nothing to stand on. */
  private imageState(
    reference: string,
    platform: Platform,
    shown: { name: string; stage: string; where: Location },
  ): StepId | undefined {
    const image = this.images.get(imageKey(reference, platform));
    return image === undefined || image.rootfs.diff_ids.length === 0 ? undefined : this.graph.image(reference, platform, shown);
  }

  private apply(stage: StageState, planned: PlannedInstruction, stageName: string): void {
    const { instruction } = planned;
    const { where } = instruction;
    switch (instruction.kind) {
      case 'add':
      case 'copy': {
        const tooEarly = (name: string) =>
          `cannot copy from stage "${('from' in instruction && instruction.from) || name}", it needs to be defined before current stage "${stageName}"`;
        const source = () => this.resolve(planned.sources[0], where, tooEarly);
        planCopy(stage, planned, instruction, {
          local: () => locate(sourcePlace(instruction, 0), source),
          remote: (op) => this.graph.remote(this.asked.pins?.remote(op) ?? op, where),
          ignored: this.asked.ignored,
        });
        break;
      }
      case 'run':
        planRun(stage, planned, instruction, this.asked.buildArgs, (index, target) => {
          const tooEarly = (from: string) =>
            `cannot mount from stage "${from}" to "${target}", stage needs to be defined before current command`;
          return locate(sourcePlace(instruction, index), () => this.resolve(planned.sources[index], where, tooEarly));
        });
        break;
      case 'workdir':
        planWorkdir(stage, planned, instruction);
        break;
      default:
        applyMetadata(stage, instruction, this.asked);
    }
  }

  /** What a COPY or a mount takes from; `source` undefined: the main context. */
  private resolve(source: Source | undefined, where: Location, tooEarly: (from: string) => string): CopySource {
    if (source === undefined) return { step: this.graph.context(''), isContext: true };
    switch (source.kind) {
      case 'scratch':
        return { step: undefined, isContext: false };
      case 'context':
        return { step: this.graph.context(source.name, source.shown), isContext: true };
      case 'image': {
        const shown = { name: `FROM ${source.reference}`, stage: '', where };
        return { step: this.imageState(source.reference, this.asked.platform, shown), isContext: false };
      }
      case 'stage': {
        const state = this.states.get(source.stage);
        if (state !== undefined) return { step: state.state, isContext: false };
        throw dockerfileError('later-stage', tooEarly(source.stage.name ?? String(source.stage.index)));
      }
    }
  }
}

/** WORKDIR makes its directory at once; `/` is always there. */
function planWorkdir(stage: StageState, planned: PlannedInstruction, instruction: WorkdirInstruction): void {
  const written = stage.expand(instruction.path, instruction.places.argument(0));
  stage.checks.workdir(written);
  const workdir = nextWorkdir(stage.config.WorkingDir ?? '', written);
  stage.config.WorkingDir = workdir;
  const path = cleanPath(workdir);
  if (path !== '/') checkOwner('WORKDIR of the user', stage.user, stage.state === undefined, false);
  const step =
    path === '/'
      ? undefined
      : stage.addStep(planned, stage.describe(instruction.original), { kind: 'workdir', path, user: stage.user });
  stage.addHistory(`WORKDIR ${workdir}`, step);
}

/** FROM a directory: all of it, as COPY would take it. */
function wholeContext(from: StepId): CopyOperation {
  return {
    kind: 'copy',
    add: false,
    from,
    fromContext: true,
    paths: ['/'],
    remotes: [],
    inline: [],
    destination: '/',
    owner: undefined,
    mode: undefined,
    link: false,
    parents: false,
    exclude: [],
    unpack: undefined,
  };
}
