// One build: a Dockerfile and a context in, an image in the store out. Wires parsing, planning, solving and assembling; decides little itself.
// Nothing of a failed or cancelled build is visible afterwards but the results of its finished steps, which the next build uses.

import { availableParallelism } from 'node:os';
import type { Digest } from '../base/digest.ts';
import { toErrorObject } from '../base/error-object.ts';
import { TbuildError } from '../base/errors.ts';
import { fetchLater } from '../cache/fetch-later.ts';
import type { RemoteReader } from '../cache/remote/reader.ts';
import { noteUse } from '../cache/traces.ts';
import { Checks } from '../dockerfile/checks.ts';
import { ownRules } from '../dockerfile/rules.ts';
import { Images } from '../images/store.ts';
import type { Platform } from '../oci/config.ts';
import { familiarName, normalizeName } from '../oci/reference.ts';
import { givenArg } from '../plan/global-scope.ts';
import type { Target } from '../plan/graph.ts';
import { openWorkplace, type Workplace } from '../snapshots/workplace.ts';
import { isLost, type Listener, solve } from '../solve/solver.ts';
import type { Report } from '../steps/step.ts';
import type { AttestedBuild } from './attest/attested-build.ts';
import type { AttestOptions } from './attest/options.ts';
import { BaseImageFinder } from './base-images.ts';
import { openLog } from './build-log.ts';
import { BuildRecorder } from './build-recorder.ts';
import { findContexts } from './contexts/contexts.ts';
import type { ContextOptions, Contexts } from './contexts/options.ts';
import type { BuildEvent } from './events.ts';
import type { BuiltImage } from './outputs/built-image.ts';
import type { Exported, ExportOptions } from './outputs/export.ts';
import { describeBuild, type Metadata } from './outputs/metadata.ts';
import type { PushSteps } from './outputs/push-steps.ts';
import { planBuild } from './plan-build.ts';
import { wantedPlatforms } from './platforms.ts';
import type { BuiltSteps, RemoteCacheOptions } from './remote-cache.ts';
import { openSandbox, type Sandbox, type SandboxOptions } from './sandbox-options.ts';
import { storeImages, storeIndex } from './store-images.ts';
import { workshopOf } from './workshop.ts';

export interface BuildOptions extends ContextOptions, ExportOptions, SandboxOptions {
  /** The store; undefined: `$TBUILD_ROOT`, else the default place. */
  readonly root?: string;
  readonly target?: string;
  /** Unset: this machine's, or what the base image is for. Of several an index is made. */
  readonly platforms?: readonly Platform[];
  readonly labels: Readonly<Record<string, string>>;
  /** What neither the Dockerfile nor its lock fixes is an error, before it is asked for. */
  readonly frozen?: boolean;
  /** Base images are to be the newest there are: their registries are asked, even for what is here. */
  readonly pull?: boolean;
  /** Stages whose earlier results do not count. */
  readonly noCacheStages?: readonly string[];
  /** What is to be said of the image beside it; unset: nothing. */
  readonly attest?: AttestOptions;
  /** Results of other machines, and what others may have of this build's. */
  readonly remoteCache?: RemoteCacheOptions;
  /** The image says nothing of when, where and by whom it was built. */
  readonly reproducible?: boolean;
  /** Every RUN is executed again, and must make the same. */
  readonly verify?: boolean;
  /** When a RUN fails, what it left at this path goes into the directories of the outputs. */
  readonly onFailure?: string;
  readonly onEvent: (event: BuildEvent) => void;
}

export interface BuildResult {
  /** Digest of the image's config; of the index where it is built for several platforms. */
  readonly image: string;
  readonly names: readonly string[];
  /** What --metadata-file holds. */
  readonly metadata: Metadata;
  /** What was asked for and could not be had, though the image is there: a line each. */
  readonly notes?: readonly string[];
}

/** Throws TbuildError with the family of what went wrong: dockerfile, context, image, run, store, cancelled … */
export async function buildImage(options: BuildOptions): Promise<BuildResult> {
  const names = options.tags.map(normalizeName);
  await checkPushed(options);
  if (options.onFailure !== undefined && !options.outputs.some(({ type }) => type === 'local')) {
    throw new TbuildError('usage/conflict', '--on-failure has nowhere to put what a RUN left', {
      hint: 'name a directory: --output DIRECTORY --on-failure PATH',
    });
  }
  const openContexts = await findContexts(options);
  const workplace = await openWorkplace(options.root, fetchLater(options.signal));
  const images = new Images(workplace.store, workplace.layers);
  const notes: string[] = [];
  const reader = await openReader(workplace, options, notes);
  const bases = new BaseImageFinder(workplace, images, options.pull === true, options.signal, reader);
  const log = openLog(workplace.store);
  const recorder = new BuildRecorder(workplace, options, names, log.name);
  let hasMade = false;
  const emit = (event: BuildEvent) => {
    hasMade ||= event.type === 'done' && !event.cached && event.layer !== undefined;
    log.write(event);
    options.onEvent(event);
  };
  try {
    const sandbox = await openSandbox(options);
    const contexts = await openContexts(workplace, { ...sandbox, fresh: options.noCache });
    const place: BuildPlace = { workplace, contexts, sandbox, images, bases, reader, notes };
    const { exported, ...result } = await withoutLost(place, () => build(options, place, names, recorder, emit));
    recorder.end('completed', result.image);
    emit({ type: 'result', time: Date.now(), image: result.image, names: result.names, exported, log: log.path });
    const unkept = hasMade ? await (await import('./aftermath.ts')).clearUp(workplace) : [];
    return { ...result, notes: [...(result.notes ?? []), ...unkept] };
  } catch (error) {
    const shown =
      options.signal.aborted && !(error instanceof TbuildError)
        ? new TbuildError('cancelled/interrupted', 'the build was cancelled')
        : error;
    recorder.end(options.signal.aborted ? 'canceled' : 'failed', undefined, shown);
    emit({ type: 'error', time: Date.now(), error: toErrorObject(shown), log: log.path });
    if (options.onFailure !== undefined && shown instanceof TbuildError && shown.code === 'run/exit')
      await (await import('./aftermath.ts')).takeOutFailed(workplace, options.onFailure, options.outputs, options.signal);
    throw shown;
  } finally {
    log.close();
    await bases.close();
    await reader?.close();
    await workplace.close();
  }
}

/** Where nothing is pushed, what does it is not loaded. */
async function checkPushed({ outputs, tags }: BuildOptions): Promise<void> {
  for (const output of outputs) {
    if (output.type === 'image' && output.push) (await import('./outputs/push.ts')).referencesOf(output, tags);
  }
}

async function pushSteps(
  { outputs, tags }: BuildOptions,
  after: number,
  emit: (event: BuildEvent) => void,
): Promise<PushSteps | undefined> {
  const pushed = outputs.flatMap((output) => (output.type === 'image' && output.push ? [output] : []));
  if (pushed.length === 0) return undefined;
  const { PushSteps } = await import('./outputs/push-steps.ts');
  return new PushSteps(pushed, tags, after, emit);
}

/** What a build works with. */
interface BuildPlace {
  readonly workplace: Workplace;
  readonly contexts: Contexts;
  readonly sandbox: Sandbox;
  readonly images: Images;
  readonly bases: BaseImageFinder;
  /** Undefined: no remote cache is read. */
  readonly reader: RemoteReader | undefined;
  /** Lines for the user. */
  readonly notes: string[];
}

async function openReader(place: Workplace, { remoteCache, signal }: BuildOptions, notes: string[]) {
  if (!remoteCache || remoteCache.from.length === 0) return undefined;
  const { openReader: open } = await import('./remote-cache.ts');
  return open(place, remoteCache.from, (line) => notes.push(line), signal);
}

/** What a cache has promised and does not have is a miss: the build begins again, all that it has done by then a hit. */
async function withoutLost<T>({ reader, notes }: BuildPlace, work: () => Promise<T>): Promise<T> {
  const lost = new Set<Digest>();
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isLost(error)) throw error;
      const blob = error.details?.lostBlob as Digest;
      if (lost.has(blob)) throw error;
      lost.add(blob);
      reader?.forget(blob);
      notes.push(`what leads to it is built again: ${error.message}`);
    }
  }
}

async function build(
  options: BuildOptions,
  { workplace, contexts, sandbox, images, bases, reader, notes }: BuildPlace,
  names: readonly string[],
  recorder: BuildRecorder,
  emit: (event: BuildEvent) => void,
): Promise<BuildResult & { exported: readonly string[] }> {
  const startedAt = Date.now();
  const checks = new Checks(givenArg(options.buildArgs, 'BUILDKIT_DOCKERFILE_CHECK'));
  const wanted = wantedPlatforms(options.platforms ?? [], options.buildArgs);
  const warn = (from: number) => {
    for (const warning of checks.warnings.slice(from)) emit({ type: 'warning', time: Date.now(), warning });
  };
  const remote = { ...sandbox, fresh: options.noCache };
  const planned = await planBuild(options, wanted, { workplace, contexts, remote }, bases, checks).finally(() => warn(0));
  const { graph, epoch, hold, unlocked } = planned;
  checks.refuse();
  if (hold?.path !== undefined) emit({ type: 'lock', time: Date.now(), path: hold.path, missing: unlocked });
  const pushes = await pushSteps(options, graph.steps.length, emit);
  const steps = graph.steps.map(({ id, name, stage }) => ({ step: id + 1, name, stage }));
  emit({ type: 'plan', time: Date.now(), steps: pushes ? [...steps, ...pushes.planned] : steps });
  const reproducible = options.reproducible ? await import('./reproducible.ts') : undefined;
  const findMount = reader && ((name: string) => reader.findMount(name));
  const workshop = workshopOf(workplace, { made: epoch, fixed: reproducible?.FIXED_TIME }, findMount);
  recorder.plan(graph.steps, workshop);
  const slots = availableParallelism();
  const open = (name: string) => contexts.open(name, hold?.pins);
  const solved = await solve({
    graph,
    workshop,
    settings: await sandbox.settingsFor(graph.steps, slots, workplace),
    slots,
    noCache: options.noCache,
    verify: options.verify ? 'all' : options.trace === 'verify' ? 'watched' : 'none',
    ...(reader && { remote: reader }),
    image: async (operation, report) => {
      const state = await bases.state(operation, report);
      recorder.image(operation, await bases.digest(operation), state);
      return state;
    },
    context: reproducible ? async (name) => reproducible.withoutHost(await open(name)) : open,
    listener: listenerOf(emit, recorder),
    signal: options.signal,
  }).catch((error: unknown) => {
    throw hold ? hold.explain(error) : error;
  });
  noteUse(
    workplace.store.db,
    [...solved.values()].flatMap(({ layer }) => layer?.id ?? []),
  );
  if (checks.isOn(ownRules.wastedBytes)) {
    const foundBefore = checks.warnings.length;
    const { checkWaste } = await import('./wasted-bytes.ts');
    checkWaste(graph.targets[0] as Target, graph.steps, solved, workplace.layers, checks);
    warn(foundBefore);
    checks.refuse();
  }
  const hasIndex = wanted.isIndex || options.attest !== undefined;
  const dates = { epoch, isReproducible: options.reproducible === true };
  const built = await storeImages(workplace, images, graph, solved, { ...dates, names: hasIndex ? [] : names });
  const told = { options, workplace, contexts, plan: graph, solved, built, names, startedAt };
  const said = options.attest && (await attest(told, bases, options.attest));
  const index = hasIndex ? await storeIndex(workplace, images, said?.built ?? built, names) : undefined;
  options.signal.throwIfAborted();
  const result = { built: said?.built ?? built, index, isForSeveral: wanted.isIndex };
  const exported = options.outputs.length === 0 ? NOTHING : await exportAll(workplace, images, result, options, pushes);
  const caches = await writeCaches(options, workplace, { graph, solved, pushedTo: pushedNames(options) }, notes);
  const { id } = index ?? (built[0] as BuiltImage).image;
  const metadata = describeBuild(result, names, exported.image);
  return {
    image: id,
    names: names.map(familiarName),
    exported: [...exported.paths, ...caches],
    metadata,
    notes: [...notes, ...(said?.notes ?? []), ...exported.notes],
  };
}

async function attest(told: Omit<AttestedBuild, 'imageOf'>, bases: BaseImageFinder, asked: AttestOptions) {
  const { attestImages } = await import('./attest/attest.ts');
  const silent: Report = { output: () => {}, status: () => {}, signal: told.options.signal };
  return attestImages({ ...told, imageOf: (operation) => bases.image(operation, silent) }, asked);
}

function listenerOf(emit: (event: BuildEvent) => void, recorder: BuildRecorder): Listener {
  const at = (step: { id: number }) => ({ time: Date.now(), step: step.id + 1 });
  return {
    started: (step) => {
      recorder.started(step);
      emit({ type: 'start', ...at(step) });
    },
    prepared: (step, prepared) => recorder.prepared(step, prepared),
    missed: async (step, prepared, flag) => {
      const why = await recorder.missed(step, prepared, flag);
      if (why) emit({ type: 'miss', ...at(step), why });
    },
    output: (step, stream, text) => emit({ type: 'output', ...at(step), stream, text }),
    status: (step, text) => emit({ type: 'status', ...at(step), text }),
    done: (step, cached, layer, trace) => {
      recorder.done(step, cached, layer, trace);
      emit({ type: 'done', ...at(step), cached, layer: layer?.id });
    },
    failed: (step, error) => {
      recorder.failed(step);
      emit({ type: 'failed', ...at(step), error: toErrorObject(error) });
    },
    canceled: (step) => {
      recorder.canceled(step);
      emit({ type: 'canceled', ...at(step) });
    },
  };
}

async function writeCaches({ remoteCache, signal }: BuildOptions, place: Workplace, built: BuiltSteps, notes: string[]) {
  if (!remoteCache || remoteCache.to.length === 0) return [];
  const { writeCaches: write } = await import('./remote-cache.ts');
  return write(place, built, remoteCache.to, (line) => notes.push(line), signal);
}

function pushedNames({ outputs, tags }: BuildOptions): string[] {
  return outputs.flatMap((output) => (output.type === 'image' && output.push ? (output.names ?? tags) : []));
}

const NOTHING: Exported = { paths: [], image: undefined, notes: [] };

/** Exports are loaded when asked for: a cached build has none. */
async function exportAll(...build: Parameters<typeof import('./outputs/export.ts').exportBuild>): Promise<Exported> {
  const { exportBuild } = await import('./outputs/export.ts');
  return exportBuild(...build);
}
