// What a build is told of its contexts, and what it asks of them, whatever they are.

import type { IgnoreRules } from '../../context/ignore.ts';
import type { Pins } from '../../plan/pins.ts';
import type { NamedContexts } from '../../plan/plan.ts';
import type { ContextResult, Material } from '../../steps/step.ts';
import type { DockerfileSource } from '../dockerfile-source.ts';

export interface ContextOptions {
  /** A directory; a tar or a Dockerfile; `-`: one of these on standard input; the URL of one of these, or of a git repository. */
  readonly context: string;
  /** A file, inside a context that is no directory of this machine; `-`: standard input; undefined: `Dockerfile` in the context. */
  readonly dockerfile?: string;
  /** Further sources by name: a directory, `docker-image://ref`, `oci-layout://path[:tag|@digest]`, a URL. */
  readonly buildContexts?: Readonly<Record<string, string>>;
  readonly buildArgs: Readonly<Record<string, string>>;
  /** `git`: what git tracks in a context that is a directory has git's modes; `strict` or undefined: modes are as they are. */
  readonly contextModes?: 'strict' | 'git';
  /** No earlier result of a step counts. Who doubts the cache doubts the digests of unchanged files too. */
  readonly noCache: boolean;
  readonly signal: AbortSignal;
}

/** The last argument, opened. */
export interface MainContext {
  readonly dockerfile: DockerfileSource;
  /** What it was made from, where that came from far away. */
  readonly material?: Material | undefined;
  /** What it leaves out; unset: it has no such rules, or none that are known before it is opened. */
  readonly ignored?: () => IgnoreRules | undefined;
  /** Paths of its files; unset: they are not known before it is opened. */
  readonly files?: () => readonly string[];
  open(): Promise<ContextResult>;
}

export interface Contexts extends Omit<MainContext, 'open'> {
  /** Those of --build-context, as planning takes them. */
  readonly named: NamedContexts;
  /** `''` is the main one. `pins`: what others are held to. */
  open(name: string, pins?: Pins): Promise<ContextResult>;
}
