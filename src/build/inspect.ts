// What can be said of a build without building: its checks, what its target can be given, its targets. Nothing is executed or written; the
// store is opened only where a base image's config is wanted, and a store that is not there is not made.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { TbuildError } from '../base/errors.ts';
import { defaultRoot } from '../base/store.ts';
import { fetchLater } from '../cache/fetch-later.ts';
import { readContextArgument } from '../context/argument.ts';
import { Checks } from '../dockerfile/checks.ts';
import { describe } from '../dockerfile/description.ts';
import { checkFrontend } from '../dockerfile/frontend.ts';
import type { Dockerfile } from '../dockerfile/instructions.ts';
import { parseDockerfile } from '../dockerfile/parse.ts';
import type { Warning } from '../dockerfile/warning.ts';
import type { Records } from '../images/records.ts';
import { hostPlatform } from '../oci/platform.ts';
import { givenArg } from '../plan/global-scope.ts';
import type { BaseImages } from '../plan/graph.ts';
import { type Outline, outlineOf } from '../plan/outline.ts';
import { type NamedContexts, type PlanOptions, planStages, type StagePlan } from '../plan/plan.ts';
import type { BuildOptions } from './build.ts';
import { findContexts, findNamed, isRemoteDockerfile, readMainDirectory } from './contexts/contexts.ts';
import { isLayoutReference } from './contexts/layout-images.ts';
import type { Contexts } from './contexts/options.ts';
import type { DockerfileSource } from './dockerfile-source.ts';
import { openSandbox } from './sandbox-options.ts';

export type InspectOptions = Omit<BuildOptions, 'onEvent' | 'outputs' | 'stdout'>;

export interface CheckResult {
  readonly source: DockerfileSource;
  readonly warnings: readonly Warning[];
  /** What a build would fail with before it begins. */
  readonly error: unknown;
}

export interface OutlineResult extends Outline {
  readonly source: DockerfileSource;
}

export interface TargetsResult {
  readonly source: DockerfileSource;
  /** In the file's order; the last is built where no other is named. */
  readonly targets: readonly TargetInfo[];
}

export interface TargetInfo {
  readonly name: string | undefined;
  readonly description: string | undefined;
  readonly base: string;
  readonly platform: string | undefined;
  readonly isDefault: boolean;
  readonly where: Dockerfile['stages'][number]['where'];
}

/** Checks all stages where no target is named. */
export async function checkBuild(options: InspectOptions): Promise<CheckResult> {
  const { dockerfile: source, named, ignored, files } = await openSources(options);
  let checks = new Checks();
  let error: unknown;
  try {
    checks = new Checks(givenArg(options.buildArgs, 'BUILDKIT_DOCKERFILE_CHECK'));
    const dockerfile = parse(source, options, checks);
    await planOf(source, dockerfile, options, named, {
      checks,
      ignored,
      contextFiles: files,
      allStages: (options.target ?? '') === '',
    });
    checks.refuse();
  } catch (thrown) {
    error = thrown;
  }
  return { source, warnings: checks.warnings, error };
}

export async function outlineBuild(options: InspectOptions): Promise<OutlineResult> {
  const { dockerfile: source, named } = await openSources(options);
  const dockerfile = parse(source, options);
  const plan = await planOf(source, dockerfile, options, named, {});
  return { source, ...outlineOf(dockerfile, plan, options.buildArgs) };
}

export async function listTargets(options: InspectOptions): Promise<TargetsResult> {
  const { dockerfile: source } = await openSources(options);
  const dockerfile = parse(source, options);
  const targets = dockerfile.stages.map(({ name, base, platform, comments, where }, index) => ({
    name,
    description: describe(comments, name),
    base,
    platform,
    isDefault: index === dockerfile.stages.length - 1,
    where,
  }));
  return { source, targets };
}

function parse({ bytes, name }: DockerfileSource, { buildArgs }: InspectOptions, checks?: Checks): Dockerfile {
  checkFrontend(bytes, name, givenArg(buildArgs, 'BUILDKIT_SYNTAX'));
  return parseDockerfile(bytes, name, checks);
}

/** What planning needs of the contexts. */
type Sources = Omit<Contexts, 'open'>;

async function openSources(options: InspectOptions): Promise<Sources> {
  const argument = readContextArgument(options.context);
  if (argument.kind === 'directory' && !isRemoteDockerfile(options)) {
    const named = (await findNamed(options))?.planned ?? {};
    return { ...readMainDirectory(argument.path, options.dockerfile), named };
  }
  // Anything else is fetched or unpacked into this process's folder of the store, which goes with it.
  const { openWorkplace } = await import('../snapshots/workplace.ts');
  const open = await findContexts(options);
  const workplace = await openWorkplace(options.root, fetchLater(options.signal));
  try {
    const sandbox = await openSandbox(options);
    return await open(workplace, { ...sandbox, fresh: options.noCache });
  } finally {
    await workplace.close();
  }
}

async function planOf(
  source: DockerfileSource,
  dockerfile: Dockerfile,
  options: InspectOptions,
  contexts: NamedContexts,
  checking: Pick<PlanOptions, 'checks' | 'ignored' | 'contextFiles' | 'allStages'>,
): Promise<StagePlan> {
  const { bases, close } = knownImages(options.root);
  try {
    const isHeld = source.lock !== undefined || options.frozen === true;
    const hold = isHeld ? (await import('./lock/hold.ts')).holdToLock(source, dockerfile, options) : undefined;
    const platforms = { platform: options.platforms?.[0], buildPlatform: hostPlatform() };
    const planOptions = { ...options, ...checking, ...platforms, contexts, pins: hold?.pins };
    const plan = await planStages(dockerfile, planOptions, hold ? hold.bases(bases) : bases);
    hold?.unlockedOf(plan.graph.steps, contexts);
    return plan;
  } finally {
    close();
  }
}

/** Images that are not in the store are done without: a check is no reason to have them. */
function knownImages(root: string = defaultRoot()): { bases: BaseImages; close: () => void } {
  let opened: Records | undefined;
  const bases: BaseImages = {
    config: async (reference, platform) => {
      if (isLayoutReference(reference) || !existsSync(join(root, 'version'))) return undefined;
      opened ??= (await import('../images/records.ts')).openRecords(root);
      try {
        return opened.images.resolve(reference, platform).config;
      } catch (error) {
        if (error instanceof TbuildError && error.code === 'image/unknown') return undefined;
        throw error;
      }
    },
  };
  return { bases, close: () => opened?.store.close() };
}
