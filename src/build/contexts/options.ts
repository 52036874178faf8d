// What a build is told of its contexts, and what it asks of them, whatever they are.

import type { IgnoreRules } from '../../context/ignore.ts';
import type { NamedContexts } from '../../plan/plan.ts';
import type { ContextResult } from '../../steps/step.ts';
import type { DockerfileSource } from '../dockerfile-source.ts';

export interface ContextOptions {
  /** A directory, a file, a URL, or `-`: standard input. */
  readonly context: string;
  /** A file, of the context itself where that is no directory; `-`: standard input; undefined: `Dockerfile` in the context. */
  readonly dockerfile?: string;
  /** `--build-context`: directories, `docker-image://…`, `oci-layout://…`, URLs, by name. */
  readonly buildContexts?: Readonly<Record<string, string>>;
  readonly buildArgs: Readonly<Record<string, string>>;
  /** `git`: what git tracks in a directory has git's modes. */
  readonly contextModes?: 'strict' | 'git';
  /** Who doubts the cache doubts the digests of unchanged files too. */
  readonly noCache: boolean;
  readonly signal: AbortSignal;
}

/** The last argument, opened. */
export interface MainContext {
  readonly dockerfile: DockerfileSource;
  /** What it leaves out; unset: it has no such rules, or none that are known before it is opened. */
  readonly ignored?: () => IgnoreRules | undefined;
  /** Paths of its files; unset: they are not known before it is opened. */
  readonly files?: () => readonly string[];
  open(): Promise<ContextResult>;
}

export interface Contexts extends Omit<MainContext, 'open'> {
  /** Those of --build-context, as planning takes them. */
  readonly named: NamedContexts;
  /** `''` is the main one. */
  open(name: string): Promise<ContextResult>;
}
