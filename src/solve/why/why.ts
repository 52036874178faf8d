// Why a step is executed: it is compared with the nearest earlier execution of it, and what is different is said. Every sentence follows from what
// was recorded then and is known now; nothing is guessed. Loaded at the first miss of a build, and by `tbuild why`.

import { type Digest, hexOf } from '../../base/digest.ts';
import type { BuildRecord, Cause, Reason, StepOutcome } from '../../cache/builds.ts';
import { readInput } from '../../cache/inputs.ts';
import { findTraces, lastPruned, readRecord, readTrace, type StepRecord, stepKey, type Trace } from '../../cache/traces.ts';
import type { View } from '../../steps/answers.ts';
import { changedAnswers, haveSamePlaces } from '../../steps/changed/answers.ts';
import { areModesForGit, changedFiles, readSelection } from '../../steps/changed/files.ts';
import { changedRecord } from '../../steps/changed/record.ts';
import type { Prepared, Workshop } from '../../steps/step.ts';
import { align, bareName, chainTo, findPast, hadStage, type PastStep, type Project, pastAtPlace, pastWithKey } from './past.ts';
import { MAX_CHANGES, sentenceOf, visible } from './sentence.ts';

/** A step as it was, or is about to be. */
interface Side {
  readonly steps: readonly StepOutcome[];
  readonly place: number;
  readonly record: StepRecord;
  readonly exact: readonly Digest[];
  /** Of layers made of contexts and stages only what a command looked at counts. */
  readonly isWatched: boolean;
  /** What it saw then, and what answers now. */
  readonly trace?: Trace;
  readonly views?: readonly (View | null)[];
  readonly textOf: (place: number) => Promise<string | undefined>;
}

interface Difference {
  readonly changes: readonly string[];
  readonly because: readonly Cause[];
  readonly hint?: string;
}

const NOTHING: Difference = { changes: [], because: [] };
const GIT_MODES = 'git keeps no such modes: --context-modes=git leaves them out';

export class Explainer {
  readonly #workshop: Pick<Workshop, 'db' | 'layers'>;
  readonly #past: readonly BuildRecord[];
  /** What came of this build's steps so far. */
  readonly #steps: readonly StepOutcome[];

  constructor(workshop: Pick<Workshop, 'db' | 'layers'>, project: Project, steps: readonly StepOutcome[]) {
    this.#workshop = workshop;
    this.#past = findPast(workshop.db, project);
    this.#steps = steps;
  }

  /** `flag`: it was asked for. */
  async explain(place: number, prepared: Prepared, flag: string | undefined): Promise<Reason> {
    if (flag !== undefined) return reasonOf('asked', { ...NOTHING, changes: [flag] });
    const step = this.#steps[place] as StepOutcome;
    const key = stepKey(prepared.record);
    const before = pastWithKey(this.#past, step, key, (trace) => readTrace(this.#workshop.db, trace) !== undefined);
    const seen = this.#comparedBySight(prepared, key, before);
    if (seen) return seen;
    const now: Side = {
      steps: this.#steps,
      place,
      record: prepared.record,
      exact: prepared.exact,
      isWatched: isWatched(prepared.views()),
      views: prepared.views(),
      textOf: async (i) => prepared.inputTexts?.()[i],
    };
    const then = before && this.#sideOf(before);
    if (then) return reasonOf('changed', await this.#compare(now, then));
    const lost = pastWithKey(this.#past, step, key, () => true);
    const pruned = lost && lastPruned(this.#workshop.db, key);
    if (lost && pruned !== undefined && pruned >= lost.build.started)
      return reasonOf('lost', { ...NOTHING, changes: [`pruned on ${dayOf(pruned)}`] });
    return this.#comparedByPlace(now, key);
  }

  /** Of executions with the same exact inputs: what they saw that is not so here. */
  #comparedBySight(prepared: Prepared, key: Digest, before: PastStep | undefined): Reason | undefined {
    const { db } = this.#workshop;
    const traces = [...findTraces(db, key, prepared.exact), ...(prepared.whole ? findTraces(db, key, prepared.whole()) : [])];
    if (traces.some(({ trace }) => prepared.matches(trace)))
      return reasonOf('lost', { ...NOTHING, changes: ['its result is not in the store any more'] });
    if (this.#past.length === 0) return undefined;
    const mounts = bindTargets(prepared.record);
    const views = prepared.views();
    const comparable = traces.filter(({ trace }) => haveSamePlaces(trace, views));
    const own = comparable.filter(({ id }) => id === before?.outcome.trace);
    const compared = (own.length > 0 ? own : comparable)
      .map(({ trace }) => changedAnswers(trace, views, mounts))
      .filter((changes) => changes.length > 0);
    const nearest = compared.sort((a, b) => a.length - b.length)[0];
    return nearest && reasonOf('seen', { ...NOTHING, changes: nearest });
  }

  async #comparedByPlace(now: Side, key: Digest): Promise<Reason> {
    const before = pastAtPlace(this.#past, this.#steps, now.place);
    if (before?.outcome.key === key && before.outcome.how === 'failed')
      return reasonOf('failed', { ...NOTHING, changes: ['it failed the last time'] });
    const record = before?.outcome.key && readRecord(this.#workshop.db, before.outcome.key);
    const changes = record && record.kind === now.record.kind ? changedRecord(record, now.record) : [];
    if (changes.length > 0) return reasonOf('changed', { ...NOTHING, changes });
    const isNew = before === undefined && hadStage(this.#past, this.#steps[now.place] as StepOutcome);
    return reasonOf('new', { ...NOTHING, changes: [isNew ? 'new instruction' : 'never built here'] });
  }

  #sideOf({ build, place, outcome }: PastStep): Side | undefined {
    const { db } = this.#workshop;
    const trace = outcome.trace === undefined ? undefined : readTrace(db, outcome.trace);
    const record = trace && readRecord(db, trace.key);
    if (!trace || !record) return undefined;
    const { exact, gaps } = trace.trace;
    return {
      steps: build.steps,
      place,
      record,
      exact,
      isWatched: isWatched(gaps),
      trace: trace.trace,
      textOf: (i) => readInput(db, exact[i] as Digest),
    };
  }

  async #compare(now: Side, then: Side): Promise<Difference> {
    const told = changedRecord(then.record, now.record);
    if (told.length > 0) return { ...NOTHING, changes: told };
    const found = now.record.kind === 'copy' ? await this.#compareCopies(now, then) : await this.#compareRuns(now, then);
    if (found.changes.length > 0 || found.because.length > 0) return found;
    return { ...NOTHING, changes: ['other files than were kept to compare with'] };
  }

  /** A selection of files, and what is fetched. */
  async #compareCopies(now: Side, then: Side): Promise<Difference> {
    const changes: string[] = [];
    let hint: string | undefined;
    for (const [i, digest] of now.exact.entries()) {
      const [a, b] = digest === then.exact[i] ? [] : await Promise.all([then.textOf(i), now.textOf(i)]);
      if (a === undefined || b === undefined) continue;
      if (i > 0) {
        changes.push(changedRemote(this.#remoteName(now, i), a, b));
        continue;
      }
      // As it was kept: bytes of names that are not UTF-8 are not told apart.
      const [before, after] = [readSelection(a), readSelection(b.toWellFormed())];
      changes.push(...changedFiles(before, after));
      if (now.record.fromContext === true && areModesForGit(before, after)) hint = GIT_MODES;
    }
    const [from] = now.steps[now.place]?.from ?? [];
    const [fromThen] = then.steps[then.place]?.from ?? [];
    const because = from === undefined || fromThen === undefined ? [] : await this.#causes(now.steps, from, then.steps, fromThen);
    return { changes, because, ...(hint !== undefined && { hint }) };
  }

  #remoteName({ steps, place, exact }: Side, i: number): string {
    const from = steps[place]?.from ?? [];
    return steps[from[from.length - exact.length + i] as number]?.name ?? 'what is fetched';
  }

  /** Layers below it, and what is mounted. */
  async #compareRuns(now: Side, then: Side): Promise<Difference> {
    const [step, past] = [now.steps[now.place] as StepOutcome, then.steps[then.place] as StepOutcome];
    // Watched in the same places: layers that are watched did not make the difference.
    const isExact = now.isWatched && now.views !== undefined && then.trace !== undefined && haveSamePlaces(then.trace, now.views);
    const because = await this.#causes(now.steps, step.parent, then.steps, past.parent, isExact ? ['image', 'run'] : undefined);
    for (const [i, from] of isExact ? [] : (step.from ?? []).entries())
      because.push(...(await this.#causes(now.steps, from, then.steps, past.from?.[i])));
    const seen = isExact && now.views && then.trace ? changedAnswers(then.trace, now.views, bindTargets(now.record)) : [];
    // What another step was executed for needs not be said twice.
    const alone = seen.filter((change) => !because.some(({ changes }) => changes.includes(change)));
    if (because.length > 0 && alone.length > 0) because.push({ step: '', changes: alone });
    if (because.length > 0) return { ...NOTHING, because: unique(because) };
    const changes = changedMounts(now, then);
    if (changes.length > 0 || now.isWatched === then.isWatched) return { ...NOTHING, changes };
    return { ...NOTHING, changes: [now.isWatched ? 'it is watched now, and was not' : 'it was watched, and is not now'] };
  }

  /** The changes in and below two states that are at the root of their difference. */
  async #causes(
    now: readonly StepOutcome[],
    place: number | undefined,
    then: readonly StepOutcome[],
    thenPlace: number | undefined,
    kinds?: readonly string[],
  ): Promise<Cause[]> {
    const causes: Cause[] = [];
    for (const pair of align(now, chainTo(now, place), then, chainTo(then, thenPlace))) {
      const [step, before] = [now[pair.now ?? -1], then[pair.before ?? -1]];
      if (kinds && !kinds.includes((step ?? before)?.kind ?? '')) continue;
      // What a step saw otherwise is what one below it made otherwise, where that is known.
      if (step?.why?.kind === 'seen' && causes.length > 0) continue;
      if (step && before) causes.push(...(await this.#causesIn(now, pair.now as number, then, pair.before as number)));
      else if (step) causes.push({ step: bareName(step.name), changes: ['new instruction'] });
      else if (before) causes.push({ step: bareName(before.name), changes: ['removed'] });
    }
    return unique(causes);
  }

  async #causesIn(now: readonly StepOutcome[], place: number, then: readonly StepOutcome[], thenPlace: number): Promise<Cause[]> {
    const [step, before] = [now[place] as StepOutcome, then[thenPlace] as StepOutcome];
    if (step.kind === 'image') return movedImage(step, before);
    if (step.tree === undefined || step.tree === before.tree) return [];
    const { changes, because } = step.why ?? (await this.#compareTraces(now, place, then, thenPlace));
    return [...(changes.length > 0 ? [{ step: bareName(step.name), changes }] : []), ...because];
  }

  async #compareTraces(
    now: readonly StepOutcome[],
    place: number,
    then: readonly StepOutcome[],
    thenPlace: number,
  ): Promise<Difference> {
    const build = (steps: readonly StepOutcome[], at: number) =>
      this.#sideOf({ build: { steps } as BuildRecord, place: at, outcome: steps[at] as StepOutcome });
    const [a, b] = [build(now, place), build(then, thenPlace)];
    return a && b ? this.#compare(a, b) : { ...NOTHING, changes: ['another result'] };
  }
}

function reasonOf(kind: Reason['kind'], { changes, because, hint }: Difference): Reason {
  const more = changes.length - MAX_CHANGES;
  const shown = (all: readonly string[]) => all.slice(0, MAX_CHANGES).map(visible);
  return {
    kind,
    text: visible(sentenceOf(changes, because)),
    changes: shown(changes),
    ...(more > 0 && { more }),
    because: because.map(({ step, changes: all }) => ({ step: visible(step), changes: shown(all) })),
    ...(hint !== undefined && { hint }),
  };
}

const isWatched = (gaps: readonly unknown[]): boolean => gaps.some((gap) => gap !== null);
const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

function movedImage({ source, layers }: StepOutcome, then: StepOutcome): Cause[] {
  if (JSON.stringify(layers) === JSON.stringify(then.layers) || !source || !then.source) return [];
  const isSame = source.name === then.source.name;
  const change = isSame
    ? `${source.name} moved from ${shortDigest(then.source.digest)} to ${shortDigest(source.digest)}`
    : `${then.source.name} → ${source.name}`;
  return [{ step: '', changes: [`base image ${change}`] }];
}

const shortDigest = (digest: string): string => hexOf(digest as Digest).slice(0, 12);

/** Two texts of `RemoteResult.told`. */
function changedRemote(name: string, then: string, now: string): string {
  const [a, b] = [JSON.parse(then), JSON.parse(now)] as Record<string, unknown>[];
  if (a?.commit !== b?.commit) return `${name}: commit ${String(a?.commit).slice(0, 12)} → ${String(b?.commit).slice(0, 12)}`;
  if (a?.digest !== b?.digest) return `${name}: content`;
  return a?.modifiedAt === b?.modifiedAt ? `${name}: how it is taken` : `${name}: its time`;
}

/** Of a command that is not watched: their digests come after those of the layers below. */
function changedMounts(now: Side, then: Side): string[] {
  const targets = bindTargets(now.record);
  const first = now.exact.length - targets.length;
  if (now.isWatched || now.exact.length !== then.exact.length) return [];
  return targets.flatMap((target, i) =>
    now.exact[first + i] === then.exact[first + i] ? [] : [`${target}: what is mounted there`],
  );
}

function bindTargets({ mounts }: StepRecord): string[] {
  const all = Array.isArray(mounts) ? (mounts as { type: string; target: string }[]) : [];
  return all.filter(({ type }) => type === 'bind').map(({ target }) => target);
}

function unique(causes: readonly Cause[]): Cause[] {
  return [...new Map(causes.map((cause) => [JSON.stringify(cause), cause])).values()];
}
