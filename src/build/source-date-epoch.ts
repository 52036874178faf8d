// What SOURCE_DATE_EPOCH stands for where it is no number: the time of the build context, of a named one, or of what a stage that is nothing but
// one remote ADD takes (BuildKit: dockerfile2llb/epoch.go).

import { join } from 'node:path';
import { TbuildError } from '../base/errors.ts';
import { dockerfileError } from '../dockerfile/errors.ts';
import type { Dockerfile, Stage } from '../dockerfile/instructions.ts';
import { hostPlatform } from '../oci/platform.ts';
import { type BuildArgs, givenArg, readGlobalScope } from '../plan/global-scope.ts';
import type { RemoteOperation } from '../plan/graph.ts';
import { type PlanOptions, planBuild } from '../plan/plan.ts';
import type { LayerIndex } from '../snapshots/layer-index.ts';
import { unpackArchive } from '../snapshots/unpacked.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { RemoteSettings } from '../steps/remote.ts';
import type { ContextResult } from '../steps/step.ts';
import type { Contexts } from './contexts/options.ts';
import { FIXED_TIME } from './reproducible.ts';

export interface EpochSources {
  readonly workplace: Workplace;
  readonly contexts: Contexts;
  readonly remote: RemoteSettings;
}

export interface EpochOptions extends Omit<PlanOptions, 'buildPlatform' | 'contexts' | 'target'> {
  readonly reproducible?: boolean;
  readonly signal: AbortSignal;
}

const NAME = 'SOURCE_DATE_EPOCH';

/** The time, and the build arguments with it in its place: an ARG of that name sees the number. */
export async function settleEpoch(
  dockerfile: Dockerfile,
  options: EpochOptions,
  sources: EpochSources,
): Promise<{ readonly epoch: number | undefined; readonly buildArgs: BuildArgs }> {
  const { buildArgs } = options;
  const host = hostPlatform();
  const written =
    givenArg(buildArgs, NAME) ??
    readGlobalScope(dockerfile, { buildArgs, target: '', platform: host, buildPlatform: host }).get(NAME) ??
    '';
  const { [NAME]: _, ...others } = buildArgs;
  const found = await readEpoch(written, dockerfile, { ...options, buildArgs: others }, sources);
  const epoch = found ?? (options.reproducible ? FIXED_TIME : undefined);
  return { epoch, buildArgs: epoch === undefined ? others : { ...others, [NAME]: String(epoch) } };
}

/** Seconds since the epoch; undefined: what was named has no time, as a directory of this machine has none. */
async function readEpoch(
  value: string,
  dockerfile: Dockerfile,
  options: EpochOptions,
  sources: EpochSources,
): Promise<number | undefined> {
  if (value === '') return undefined;
  if (/^[+-]?\d+$/.test(value)) return checkRange(Number(value), value);
  if (value === 'context') return timeOf(await sources.contexts.open(''));
  if (Object.hasOwn(sources.contexts.named, value)) {
    const { kind } = sources.contexts.named[value] as { kind: string };
    return kind === 'directory' ? timeOf(await sources.contexts.open(value, options.pins)) : undefined;
  }
  const stage = dockerfile.stages.find(({ name }) => name === value.toLowerCase());
  if (stage !== undefined) return timeOfStage(stage, dockerfile, options, sources);
  throw invalid(value, 'a number of seconds, context, a named context, or a stage that is one remote ADD');
}

/** A directory of this machine has none; what came as an archive is as old as its newest file, where whoever sent it said no other time. */
function timeOf({ modifiedAt, owner, index }: ContextResult): number | undefined {
  return modifiedAt ?? (owner === undefined ? newestFile(index) : undefined);
}

function newestFile(index: LayerIndex): number | undefined {
  let newest: number | undefined;
  for (const { type, mtime } of index.below('')) if (type === 'file') newest = Math.max(newest ?? mtime[0], mtime[0]);
  return newest;
}

/** What a date can say. */
function checkRange(seconds: number, value: string): number {
  if (Number.isNaN(new Date(seconds * 1000).getTime())) throw invalid(value, 'it is farther away than any date');
  return seconds;
}

function invalid(value: string, hint: string): TbuildError {
  return new TbuildError('usage/source-date-epoch', `invalid SOURCE_DATE_EPOCH: ${value}`, { hint });
}

async function timeOfStage(
  stage: Stage,
  dockerfile: Dockerfile,
  options: EpochOptions,
  { workplace, remote }: EpochSources,
): Promise<number | undefined> {
  checkStage(stage);
  const bases = { config: () => Promise.reject(refused(stage, 'must use FROM scratch')) };
  const planOptions = { ...options, buildPlatform: hostPlatform(), contexts: {}, checks: undefined, target: stage.name };
  const { steps } = await planBuild(dockerfile, planOptions, bases);
  const op = steps.map((step) => step.op).find((each): each is RemoteOperation => each.kind === 'http' || each.kind === 'git');
  if (op === undefined) throw refused(stage, 'source must be a single HTTP(S) or Git ADD');
  const { resolveRemote } = await import('../steps/remote.ts');
  const places = { serve: workplace.serve, newPath: () => workplace.newPath(), storePath: workplace.store.path };
  const report = { output: () => {}, status: () => {}, signal: options.signal };
  const opened = await (await resolveRemote(places, remote, op, report)).open(report);
  return opened.modifiedAt ?? (op.kind === 'http' ? newestMember(workplace, opened, op.name) : undefined);
}

function checkStage(stage: Stage): void {
  const adds = stage.instructions.filter(({ kind }) => kind === 'add');
  const other = stage.instructions.find(({ kind }) => kind !== 'add' && kind !== 'arg');
  if (other !== undefined) {
    throw refused(stage, `does not meet source-only requirements: unsupported ${other.kind.toUpperCase()} instruction`);
  }
  if (adds.length !== 1) throw refused(stage, 'must contain exactly one remote ADD');
}

function refused({ where }: Stage, why: string): TbuildError {
  return dockerfileError('source-date-epoch', `SOURCE_DATE_EPOCH stage ${why}`, where);
}

/** Of an archive whose server has no time for it: that of its newest file. Anything else has none. Throws `context/too-large`. */
async function newestMember(workplace: Workplace, { files }: ContextResult, name: string): Promise<number | undefined> {
  if (!('root' in files)) return undefined;
  try {
    const unpacked = await unpackArchive(workplace, workplace.driver.driver, { archive: join(files.root, name), label: name });
    return unpacked && newestFile(unpacked.index);
  } catch (error) {
    if (error instanceof TbuildError && error.code === 'context/bad-archive') return undefined;
    throw error;
  }
}
