// A build that is held to a lock: names are taken for what the lock says, without asking anybody; what it says nothing of is told, or with --frozen
// refused before it is asked for. A build never writes a lock.

import { basename } from 'node:path';
import { type Location, TbuildError } from '../../base/errors.ts';
import type { Dockerfile } from '../../dockerfile/instructions.ts';
import { isPinned } from '../../oci/reference.ts';
import type { BaseImages, RemoteOperation, Step } from '../../plan/graph.ts';
import type { Pins } from '../../plan/pins.ts';
import type { NamedContexts } from '../../plan/plan.ts';
import { isRemoteDockerfile } from '../contexts/contexts.ts';
import { isLayoutReference } from '../contexts/layout-images.ts';
import type { ContextOptions } from '../contexts/options.ts';
import type { DockerfileSource } from '../dockerfile-source.ts';
import { EMPTY_LOCK, type Lock, parseLock } from './document.ts';
import { isFixed, isOf, type KeyScope, keyOf, keyScope, type SourceOperation, shownKey } from './keys.ts';
import { staleEntries, writtenNames } from './written.ts';

export interface HoldOptions extends Pick<ContextOptions, 'context' | 'dockerfile' | 'buildArgs' | 'buildContexts'> {
  /** What is not locked is an error. */
  readonly frozen?: boolean;
}

/** A build that has neither a lock nor a wish for one need not ask for this. */
export function holdToLock(source: DockerfileSource, dockerfile: Dockerfile, options: HoldOptions): Hold {
  const lock = source.lock && parseLock(source.lock, lockName(source));
  const hold = new Hold(source, dockerfile, lock, options);
  if (options.frozen && lock) hold.refuseStale();
  return hold;
}

export class Hold {
  readonly pins: Pins;
  readonly #source: DockerfileSource;
  readonly #dockerfile: Dockerfile;
  readonly #lock: Lock | undefined;
  readonly #options: HoldOptions;
  readonly #scope: KeyScope;

  constructor(source: DockerfileSource, dockerfile: Dockerfile, lock: Lock | undefined, options: HoldOptions) {
    this.#source = source;
    this.#dockerfile = dockerfile;
    this.#lock = lock;
    this.#options = options;
    this.#scope = keyScope(dockerfile.text, options);
    this.pins = pinsOf(lock ?? EMPTY_LOCK, this.#scope);
  }

  /** Of the lock; undefined: there is none. */
  get path(): string | undefined {
    return this.#lock && this.#name;
  }

  refuseStale(): void {
    const [stale] = [...staleEntries(this.#lock as Lock, writtenNames(this.#dockerfile))].sort();
    if (stale === undefined) return;
    const shown = this.#lock?.images.has(stale) ? shownKey('image', stale) : stale;
    throw new TbuildError('dockerfile/stale-lock', `${this.#name} has ${shown}, of which ${this.#source.name} says nothing`, {
      hint: `what is locked is out of date: ${this.#command()}`,
    });
  }

  /** Nobody is asked for an image that is refused; one that the lock is wrong about is told so. */
  bases(bases: BaseImages): BaseImages {
    return {
      config: async (reference, platform) => {
        const op = { kind: 'image', reference, platform } as const;
        if (this.#options.frozen && !isFixed(op)) throw this.#notLocked(op, undefined);
        try {
          return await bases.config(reference, platform);
        } catch (error) {
          throw this.#isGone(error, reference) ? this.#withUpdate(error as TbuildError, reference.replace(/@.*/s, '')) : error;
        }
      },
    };
  }

  /** What of the plan is not locked, as people write it. Throws for the first, with --frozen. */
  unlockedOf(steps: readonly Step[], named: NamedContexts): string[] {
    const open = new Set<string>();
    for (const { op, where } of steps) {
      const source = op.kind === 'context' ? this.#contextSource(named, op.name) : op;
      if (source === undefined || !isSource(source) || isFixed(source)) continue;
      if (this.#options.frozen) throw this.#notLocked(source, where);
      open.add(shownKey(source.kind, keyOf(source, this.#scope)));
    }
    return [...open].sort();
  }

  /** A file that is another than that which was locked, a commit that is gone. */
  explain(error: unknown): unknown {
    if (!(error instanceof TbuildError) || error.hint !== undefined || !this.#lock) return error;
    const { urls, git } = this.#lock;
    const byCode = new Map<string, ReadonlyMap<string, unknown>>([
      ['context/checksum', urls],
      ['context/git', git],
      ['context/git-ref', git],
    ]);
    const locked = [...(byCode.get(error.code)?.keys() ?? [])];
    // Messages end in a URL, or have a colon behind it.
    const meant = locked.find((key) => `${error.message}: `.includes(` ${key.replace(/[?#].*/s, '')}: `));
    return meant === undefined ? error : this.#withUpdate(error, meant);
  }

  #contextSource(named: NamedContexts, name: string): RemoteOperation | undefined {
    const context = named[name];
    return context?.kind === 'directory' && context.remote ? this.pins.remote(context.remote) : undefined;
  }

  #isGone(error: unknown, reference: string): boolean {
    const isOurs = isPinned(reference) && this.#lock?.images.has(reference.replace(/@.*/s, ''));
    return error instanceof TbuildError && error.code === 'registry/not-found' && isOurs === true;
  }

  #withUpdate({ code, message, cause, details, where }: TbuildError, key: string): TbuildError {
    const shown = this.#lock?.images.has(key) ? shownKey('image', key) : key;
    const hint = `${this.#name} says so; what there is now is locked by: ${this.#command('--update', shown)}`;
    return new TbuildError(code, message, { cause, details, where, hint });
  }

  #notLocked(op: SourceOperation, where: Location | undefined): TbuildError {
    const shown = shownKey(op.kind, keyOf(op, this.#scope));
    const isFile = this.#source.path !== undefined && !isRemoteDockerfile(this.#options);
    const why = this.#lock ? `it is not in ${this.#name}` : isFile ? `there is no ${this.#name}` : NO_FILE;
    const hint = isFile ? `lock it with: ${this.#command()}` : 'name it by its digest, checksum or commit';
    return new TbuildError('dockerfile/not-locked', `${shown} is not locked: ${why}`, { hint, where });
  }

  get #name(): string {
    return lockName(this.#source);
  }

  #command(...words: readonly string[]): string {
    const { dockerfile, context } = this.#options;
    return ['tbuild lock', ...(dockerfile === undefined ? [] : ['-f', dockerfile]), ...words, context].join(' ');
  }
}

const NO_FILE = 'a Dockerfile that is no file of this machine has no lock beside it';

/** As people call it. */
export const lockName = ({ name }: Pick<DockerfileSource, 'name'>): string => `${basename(name)}.lock`;

function isSource(op: Step['op']): op is SourceOperation {
  return (op.kind === 'image' && !isLayoutReference(op.reference)) || op.kind === 'http' || op.kind === 'git';
}

export function pinsOf({ images, urls, git }: Lock, scope: KeyScope): Pins {
  return {
    image: (reference) => {
      const digest = images.get(reference)?.digest;
      return digest === undefined ? reference : `${reference}@${digest}`;
    },
    remote: (op) => {
      if (isFixed(op)) return op;
      if (op.kind === 'http') return { ...op, checksum: urls.get(keyOf(op, scope))?.checksum };
      const locked = git.get(keyOf(op, scope));
      if (!locked || !isOf(locked, op)) return op;
      const { commit, ref } = locked;
      const source = { ...op.source, ref: ref ?? op.source.ref, checksum: commit };
      return { ...op, source: { ...source, fetchByCommit: true } };
    },
  };
}
