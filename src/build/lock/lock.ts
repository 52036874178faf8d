// `tbuild lock`: asks what the names in a Dockerfile stand for now, and writes it beside it. What is locked already stays, unless it is to be updated;
// what the Dockerfile no longer names goes. Nothing is built.

import { existsSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { TbuildError } from '../../base/errors.ts';
import { checkFrontend } from '../../dockerfile/frontend.ts';
import type { Dockerfile } from '../../dockerfile/instructions.ts';
import { parseDockerfile } from '../../dockerfile/parse.ts';
import { Images } from '../../images/store.ts';
import type { Platform } from '../../oci/config.ts';
import { hostPlatform } from '../../oci/platform.ts';
import { givenArg } from '../../plan/global-scope.ts';
import type { Step } from '../../plan/graph.ts';
import { type NamedContexts, planStages } from '../../plan/plan.ts';
import { openWorkplace } from '../../snapshots/workplace.ts';
import { BaseImageFinder } from '../base-images.ts';
import { findContexts, isRemoteDockerfile } from '../contexts/contexts.ts';
import { isLayoutReference } from '../contexts/layout-images.ts';
import type { ContextOptions, Contexts } from '../contexts/options.ts';
import { lockPath } from '../dockerfile-source.ts';
import { openSandbox } from '../sandbox-options.ts';
import type { Secret } from '../secrets.ts';
import type { SshSource } from '../ssh.ts';
import { type Change, changesOf } from './changes.ts';
import { EMPTY_LOCK, formatLock, type Lock, parseLock } from './document.ts';
import { lockName } from './hold.ts';
import { isFixed, type KeyScope, keyOf, keyScope } from './keys.ts';
import { type RemoteSource, Resolver } from './resolve.ts';
import { selectUpdates, type Updates } from './updates.ts';
import { staleEntries, writtenNames } from './written.ts';

export interface LockOptions extends Omit<ContextOptions, 'noCache' | 'contextModes'> {
  /** The store; undefined: `$TBUILD_ROOT`, else the default place. */
  readonly root?: string;
  /** Unset: all stages. */
  readonly target?: string;
  /** Unset: this machine's. */
  readonly platforms?: readonly Platform[];
  readonly secrets: readonly Secret[];
  readonly ssh?: readonly SshSource[];
  /** What is asked for anew; unset: only what is not locked. */
  readonly update?: Updates;
}

export interface LockResult {
  /** Of the lock. */
  readonly path: string;
  readonly changes: readonly Change[];
  readonly lock: Lock;
}

export async function lockBuild(given: LockOptions): Promise<LockResult> {
  const options = { ...given, noCache: false, network: 'default', labels: {} } as const;
  const openContexts = await findContexts(options);
  const workplace = await openWorkplace(options.root);
  const finder = new BaseImageFinder(workplace, new Images(workplace.store, workplace.layers), false, options.signal);
  try {
    const settings = { ...(await openSandbox(options)), fresh: false };
    const contexts = await openContexts(workplace, settings);
    const path = pathOf(contexts, options);
    const { bytes, name, lock: written } = contexts.dockerfile;
    checkFrontend(bytes, name, givenArg(options.buildArgs, 'BUILDKIT_SYNTAX'));
    const dockerfile = parseDockerfile(bytes, name);
    const before = written ? parseLock(written, lockName(contexts.dockerfile)) : EMPTY_LOCK;
    const updated = updatesOf(before, options.update);
    const scope = keyScope(dockerfile.text, options);
    const resolver = new Resolver({ workplace, settings, finder, signal: options.signal }, before, updated, scope);
    try {
      const steps = await planAll(dockerfile, options, contexts.named, resolver);
      const found = await resolver.resolve(remotesOf(steps, contexts.named));
      refuseUnused(updated ?? [], found);
      const used = contextKeys(contexts.named, steps, scope);
      const lock = join(dockerfile, before, found, contexts.named, used, options.target !== undefined);
      write(path, formatLock(lock), written);
      return { path, changes: changesOf(before, lock), lock };
    } finally {
      await resolver.close();
    }
  } finally {
    await finder.close();
    await workplace.close();
  }
}

/** Undefined: everything. */
function updatesOf(before: Lock, update: Updates | undefined): ReadonlySet<string> | undefined {
  return update?.length === 0 ? undefined : selectUpdates(before, update ?? []);
}

function pathOf({ dockerfile }: Contexts, options: LockOptions): string {
  if (dockerfile.path !== undefined && !isRemoteDockerfile(options)) return lockPath(dockerfile.path);
  throw new TbuildError('usage/no-lock', `a lock stands beside a Dockerfile, and ${dockerfile.name} is no file of this machine`, {
    hint: 'give the directory that holds the Dockerfile, or -f',
  });
}

/** The steps for every platform, of every stage. */
async function planAll(
  dockerfile: Dockerfile,
  { target, platforms = [], buildArgs }: LockOptions,
  contexts: NamedContexts,
  bases: Resolver,
): Promise<Step[]> {
  const buildPlatform = hostPlatform();
  const common = { buildArgs, target, contexts, labels: {}, buildPlatform, allStages: target === undefined };
  const steps: Step[] = [];
  for (const platform of platforms.length === 0 ? [undefined] : platforms) {
    steps.push(...(await planStages(dockerfile, { ...common, platform }, bases)).graph.steps);
  }
  return steps;
}

/** Those that nothing fixes, but for images, which planning has asked for. */
function remotesOf(steps: readonly Step[], named: NamedContexts): RemoteSource[] {
  return steps.flatMap(({ op, where }): RemoteSource[] => {
    const context = op.kind === 'context' ? named[op.name] : undefined;
    const source = context?.kind === 'directory' ? context.remote : op;
    const isRemote = source?.kind === 'http' || source?.kind === 'git';
    return isRemote && !isFixed(source) ? [{ op: source, where }] : [];
  });
}

/** Something that is not asked about now cannot have been updated. */
function refuseUnused(updated: Iterable<string>, found: Pick<Lock, 'images' | 'urls' | 'git'>): void {
  const unused = [...updated].find((key) => !found.images.has(key) && !found.urls.has(key) && !found.git.has(key));
  if (unused === undefined) return;
  throw new TbuildError('usage/not-locked', `${unused} is locked, and nothing leads to it with these arguments`, {
    hint: 'give the --target, --platform, --build-arg and --build-context that it was locked with',
  });
}

/** What was found, and of what was locked before that which other arguments would lead to. */
function join(
  dockerfile: Dockerfile,
  before: Lock,
  found: Pick<Lock, 'images' | 'urls' | 'git'>,
  named: NamedContexts,
  used: ReadonlyMap<string, string>,
  isPartial: boolean,
): Lock {
  const written = writtenNames(dockerfile);
  const isFound = (key: string) => found.images.has(key) || found.urls.has(key) || found.git.has(key);
  const kept = [...before.contexts].filter(([name]) => !Object.hasOwn(named, name) && written.context(name));
  // An image that the text names, too, may be there for that alone.
  const isUsed = (key: string) => isFound(key) && !written.image(key);
  const contexts = new Map([...kept, ...[...used].filter(([, key]) => isUsed(key))]);
  const all = {
    images: new Map([...before.images, ...found.images]),
    urls: new Map([...before.urls, ...found.urls]),
    git: new Map([...before.git, ...found.git]),
    contexts,
    onbuild: isPartial ? before.onbuild : new Set<string>(),
  };
  const stale = staleEntries(all, written);
  const without = <T>(entries: ReadonlyMap<string, T>) =>
    new Map([...entries].filter(([key]) => isFound(key) || !stale.has(key)));
  // Nothing in the text leads there: a trigger of an image does.
  const onbuild = new Set([...all.onbuild, ...[...stale].filter(isFound)]);
  return { images: without(all.images), urls: without(all.urls), git: without(all.git), contexts, onbuild };
}

/** Which source each --build-context stands for. One that is no image is known by its step. */
function contextKeys(named: NamedContexts, steps: readonly Step[], scope: KeyScope): Map<string, string> {
  const opened = new Set(steps.flatMap(({ op }) => (op.kind === 'context' ? [op.name] : [])));
  const keys = Object.entries(named).flatMap(([name, context]): [string, string][] => {
    if (context.kind === 'directory') return context.remote && opened.has(name) ? [[name, keyOf(context.remote, scope)]] : [];
    return isLayoutReference(context.reference) ? [] : [[name, context.reference]];
  });
  return new Map(keys);
}

/** Whole or not at all, and only when it says something new. */
function write(path: string, text: string, before: Buffer | undefined): void {
  if (before?.toString() === text) return;
  const target = existsSync(path) ? realpathSync(path) : path;
  const temporary = `${target}.${process.pid}`;
  try {
    const mode = statSync(target, { throwIfNoEntry: false })?.mode ?? 0o666;
    writeFileSync(temporary, text, { flag: 'wx', mode: mode & 0o777 });
    renameSync(temporary, target);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw new TbuildError('usage/unwritable-file', `cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
}
