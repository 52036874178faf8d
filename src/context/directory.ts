// A build context that is a directory: which of its files take part (its ignore rules), and their scan.
// Symlinks are entries, never followed. The directory is only read.

import { type Dirent, lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { TbuildError } from '../base/errors.ts';
import type { Serve } from '../native/serve.ts';
import { compileIgnore, type IgnoreRules, type IgnoreState } from './ignore.ts';

export interface ScannedContext {
  readonly root: string;
  /** The scan's index file. */
  readonly index: string;
  readonly entries: number;
  readonly bytes: number;
}

export interface ScanOptions {
  readonly rules: IgnoreRules | undefined;
  /** Where the index goes. */
  readonly out: string;
  /** Digests of files that have not changed since an earlier scan; undefined: every file is read. */
  readonly cache: string | undefined;
}

export async function scanDirectory(serve: Serve, root: string, { rules, out, cache }: ScanOptions): Promise<ScannedContext> {
  const selection = rules ? { paths: listPaths(root, rules) } : {};
  const scan = await serve.call('scan', { root, ...selection, out, ...(cache === undefined ? {} : { cache }) });
  return { root, index: scan.index, entries: scan.entries, bytes: scan.bytes };
}

/**
 * The rules of the context; undefined: there are none. `dockerfile`: its path, for the ignore file of its own that it may have
 * (`X.Dockerfile.dockerignore` wins over `.dockerignore`).
 */
export function readIgnore(root: string, dockerfile: string | undefined): IgnoreRules | undefined {
  const candidates = [
    ...(dockerfile ? [join(dirname(dockerfile), `${basename(dockerfile)}.dockerignore`)] : []),
    join(root, '.dockerignore'),
  ];
  for (const path of candidates) {
    const text = readIfPresent(path);
    if (text !== undefined) return compileIgnore(text, path);
  }
  return undefined;
}

function readIfPresent(path: string): string | undefined {
  try {
    // A FIFO nobody may ever write to.
    if (!statSync(path).isFile()) throw new TbuildError('context/unreadable', `cannot read ${path}: it is no file`);
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof TbuildError) throw cause;
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new TbuildError('context/unreadable', `cannot read ${path}: ${reason(cause)}`, { cause });
  }
}

/** Paths of what takes part. */
export function listContext(root: string, rules: IgnoreRules | undefined): string[] {
  return listPaths(root, rules ?? compileIgnore('', ''));
}

/** Paths that take part, parents before what they hold. A directory that is excluded takes part when something below it does. */
function listPaths(root: string, rules: IgnoreRules): string[] {
  const paths: string[] = [];
  /** `pending`: excluded directories on the way down, not listed yet. */
  const walk = (directory: string, state: IgnoreState, pending: string[]): void => {
    for (const item of readDirectory(join(root, directory))) {
      const path = directory === '' ? item.name : `${directory}/${item.name}`;
      const verdict = rules.excludes(path, state);
      if (!verdict.excluded) {
        refuseBrokenName(root, path);
        paths.push(...pending.splice(0), path);
      }
      if (!item.isDirectory() || !verdict.descend) continue;
      if (verdict.excluded) pending.push(path);
      walk(path, verdict.state, pending);
      // Still pending: nothing below it took part.
      if (verdict.excluded && pending.at(-1) === path) pending.pop();
    }
  };
  walk('', rules.root, []);
  return paths;
}

/** What is read of a directory has U+FFFD where a name is not UTF-8: nothing is there under that. */
function refuseBrokenName(root: string, path: string): void {
  if (!path.includes('\ufffd') || lstatSync(join(root, path), { throwIfNoEntry: false })) return;
  throw new TbuildError('context/not-utf8', `the name of ${path} is not UTF-8`, {
    hint: 'rename it, or exclude it in .dockerignore',
  });
}

function readDirectory(path: string): Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch (cause) {
    throw new TbuildError('context/unreadable', `cannot read the directory ${path}: ${reason(cause)}`, {
      cause,
      hint: 'make it readable, or exclude it in .dockerignore',
    });
  }
}

function reason(cause: unknown): string {
  return (cause as NodeJS.ErrnoException).code ?? (cause as Error).message;
}
