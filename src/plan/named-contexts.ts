// `--build-context name=…`: a name that stands for another source wherever a stage or an image could be named.

import { TbuildError } from '../base/errors.ts';
import type { Platform } from '../oci/config.ts';
import { formatPlatform } from '../oci/platform.ts';
import { familiarName } from '../oci/reference.ts';
import type { RemoteOperation } from './graph.ts';

export type NamedContext =
  /** A directory: a context step of that name. `shown` and `remote`: as the step is, and what it is made of, where it is none of this machine. */
  | { readonly kind: 'directory'; readonly shown?: string; readonly remote?: RemoteOperation }
  /** An image in place of another: its normalised reference, or `scratch`. */
  | { readonly kind: 'image'; readonly reference: string };

export type NamedContexts = Readonly<Record<string, NamedContext>>;

export interface FoundContext {
  readonly name: string;
  readonly context: NamedContext;
}

/**
 * `alpine` is found for `alpine:latest` and for `docker.io/library/alpine` too; `alpine::linux/arm64` goes before it, for that platform
 * (BuildKit: dockerui/namedcontext.go).
 */
export function findContext(contexts: NamedContexts, wanted: string, platform: Platform): FoundContext | undefined {
  const lower = wanted.toLowerCase();
  // What these mean is not for a user to change.
  if (lower === 'scratch' || lower === 'context') return undefined;
  const key = familiarKey(wanted);
  const names = Object.keys(contexts);
  const name =
    names.find((each) => each === `${key}::${formatPlatform(platform)}`) ??
    names.find((each) => each === wanted || familiarKey(each) === key);
  return name === undefined ? undefined : { name, context: contexts[name] as NamedContext };
}

function familiarKey(name: string): string {
  try {
    return familiarName(name).replace(/:latest$/, '');
  } catch (error) {
    // A name that is no image reference can still be that of a stage or a context.
    if (error instanceof TbuildError) return name.toLowerCase();
    throw error;
  }
}
