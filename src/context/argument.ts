// The last argument of `build`, and the value of `--build-context`: which kind of source a text names (buildx: build/opt.go, loadInputs).
// Looks whether a path is there, and opens nothing.

import { type Stats, statSync } from 'node:fs';
import { TbuildError } from '../base/errors.ts';
import { parseGitContext } from './git/url.ts';

export type ContextArgument =
  | { readonly kind: 'directory'; readonly path: string }
  /** A tar, or a Dockerfile without a context. */
  | { readonly kind: 'file'; readonly path: string }
  /** The same on standard input. */
  | { readonly kind: 'stdin' }
  | { readonly kind: 'git' | 'http'; readonly url: string };

/** What is there on disk is that, whatever it looks like: a directory may be called `github.com`. Throws `context/not-found` and `context/not-a-directory`. */
export function readContextArgument(text: string): ContextArgument {
  if (text === '-') return { kind: 'stdin' };
  const found = look(text);
  if (found instanceof Error) {
    if (parseGitContext(text) !== undefined) return { kind: 'git', url: text };
    if (/^https?:\/\//.test(text)) return { kind: 'http', url: text };
    throw notReadable(text, found);
  }
  if (found.isDirectory()) return { kind: 'directory', path: text };
  // A FIFO is what a shell gives for <(…).
  if (found.isFile() || found.isFIFO()) return { kind: 'file', path: text };
  throw new TbuildError(
    'context/not-a-directory',
    `the build context ${text} is neither a directory nor an archive nor a Dockerfile`,
  );
}

function look(path: string): Stats | NodeJS.ErrnoException {
  try {
    return statSync(path);
  } catch (cause) {
    return cause as NodeJS.ErrnoException;
  }
}

function notReadable(text: string, cause: NodeJS.ErrnoException): TbuildError {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1];
  if (scheme !== undefined) {
    return new TbuildError('context/not-found', `no build context comes by ${scheme}:// (${text})`, {
      hint: 'a context is a directory, a tar, a Dockerfile, or a URL with https://, http://, git:// or ssh://',
    });
  }
  return new TbuildError('context/not-found', `the build context ${text} cannot be read: ${cause.code ?? cause.message}`, {
    cause,
    hint: 'give the path of a directory as the last argument, as in: tbuild -t app .',
  });
}
