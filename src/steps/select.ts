// What a COPY or ADD takes: from source paths as written to the entries of a tree, wildcards and links resolved (BuildKit: fsutil/copy).
// Only decides; the tree may be a scanned context or a stack of layers.

import { type Digest, sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import { type Glob, hasWildcards, matchesGlob, parseGlob } from '../context/glob.ts';
import { compileExcludes, type IgnoreRules, type IgnoreState } from '../context/ignore.ts';
import { resolvePath, type Tree, type TreeEntry } from '../snapshots/tree.ts';

export interface SelectOptions {
  readonly paths: readonly string[];
  readonly exclude: readonly string[];
  /** Keep the path below the last `/./`, or the whole path. */
  readonly parents: boolean;
}

/** One entry to copy. `path` is relative to where the source lands; a directory comes before what it holds. */
export interface SelectedEntry {
  readonly path: string;
  readonly entry: TreeEntry;
}

/** One source after wildcards: a single entry that is no directory, or a directory whose contents are copied. */
export interface Selected {
  /** The last component as written: what it is called in a directory. */
  readonly base: string;
  /** Its own entry first, as ''; then, for a directory, what it holds. */
  readonly entries: readonly SelectedEntry[];
}

/** Throws `context/not-found` for a path without wildcards that is not there. `what` names the tree in messages. */
export function selectSources(tree: Tree, options: SelectOptions, what: string): Selected[] {
  const excludes = options.exclude.length > 0 ? compileExcludes(options.exclude) : undefined;
  return options.paths.flatMap((written) =>
    options.parents ? selectWithParents(tree, written, excludes, what) : selectPlain(tree, written, excludes, what),
  );
}

function selectPlain(tree: Tree, written: string, excludes: IgnoreRules | undefined, what: string): Selected[] {
  const clean = cleanPath(written);
  if (!hasWildcards(clean)) return [selectOne(tree, clean, written, excludes, what)];
  return matches(tree, clean).map((path) => selectOne(tree, path, written, excludes, what));
}

function selectOne(tree: Tree, path: string, written: string, excludes: IgnoreRules | undefined, what: string): Selected {
  const resolved = resolvePath(tree, path, true);
  if (!resolved?.entry) throw notFound(written, what);
  return { base: path.slice(path.lastIndexOf('/') + 1), entries: collect(tree, resolved.entry, resolved.path, '', excludes) };
}

/** A directory with all it holds, or one file: what a mount shows. Its own entry is the first, as ''. */
export interface SelectedTree {
  readonly path: string;
  readonly entry: TreeEntry;
  readonly entries: readonly SelectedEntry[];
}

/** `path` as it is, without wildcards; links are followed inside the tree. Throws `context/not-found`. */
export function selectTree(tree: Tree, path: string, what: string): SelectedTree {
  const resolved = resolvePath(tree, path, true);
  if (!resolved?.entry) throw notFound(path, what);
  const { entry } = resolved;
  return { path: resolved.path, entry, entries: collect(tree, entry, resolved.path, '', undefined) };
}

/** `--parents`: the directories on the way come along, with their attributes, as contents of the destination directory. */
function selectWithParents(tree: Tree, written: string, excludes: IgnoreRules | undefined, what: string): Selected[] {
  const pivot = written.lastIndexOf('/./');
  const base = cleanPath(pivot < 0 ? '' : written.slice(0, pivot));
  const rest = cleanPath(pivot < 0 ? written : written.slice(pivot + 3));
  const root = resolvePath(tree, base, true);
  if (root?.entry?.type !== 'dir') throw notFound(written, what);
  const below = (path: string) => (root.path === '' ? path : path === '' ? root.path : `${root.path}/${path}`);
  const parts = rest.split('/').map((part) => (part === '**' ? ('**' as const) : compile(part)));
  const found = hasWildcards(rest) ? [...descendants(tree, root.path, '')].filter((path) => matchParents(parts, path)) : [rest];
  const entries = new Map<string, SelectedEntry>();
  for (const path of found) {
    const resolved = resolvePath(tree, below(path), false);
    if (!resolved?.entry) throw notFound(written, what);
    for (const parent of ancestors(path)) {
      const entry = tree.lookup(below(parent));
      if (entry && !entries.has(parent)) entries.set(parent, { path: parent, entry });
    }
    for (const item of collect(tree, resolved.entry, resolved.path, path, excludes))
      if (!entries.has(item.path)) entries.set(item.path, item);
  }
  entries.delete('');
  return [{ base: '', entries: [{ path: '', entry: root.entry }, ...entries.values()] }];
}

/** In `--parents` a `**` stands for any number of directories. */
function matchParents(parts: readonly (Glob | '**')[], path: string): boolean {
  const names = path.split('/');
  const match = (p: number, n: number): boolean => {
    if (p === parts.length) return n === names.length;
    if (parts[p] === '**') return match(p + 1, n) || (n < names.length && match(p, n + 1));
    return n < names.length && matchesGlob(parts[p] as Glob, names[n] as string) && match(p + 1, n + 1);
  };
  return match(0, 0);
}

function collect(tree: Tree, entry: TreeEntry, at: string, as: string, excludes: IgnoreRules | undefined): SelectedEntry[] {
  const taken: SelectedEntry[] = [{ path: as, entry }];
  /** `pending`: excluded directories on the way down, not taken yet. A directory is taken when something in it is. */
  const walk = (relative: string, state: IgnoreState | undefined, pending: SelectedEntry[]): void => {
    for (const [name, inside] of tree.list(join(at, relative))) {
      const path = join(relative, name);
      const item = { path: join(as, path), entry: inside };
      const verdict = excludes?.excludes(path, state as IgnoreState);
      if (!verdict?.excluded) taken.push(...pending.splice(0), item);
      if (inside.type !== 'dir' || verdict?.descend === false) continue;
      if (verdict?.excluded) pending.push(item);
      walk(path, verdict?.state, pending);
      if (verdict?.excluded && pending.at(-1) === item) pending.pop();
    }
  };
  if (entry.type === 'dir') walk('', excludes?.root, []);
  return taken;
}

/** Wildcards as Go's filepath.Match on the path below the fixed prefix, in walking order; what matched is not descended into. */
function matches(tree: Tree, clean: string): string[] {
  const parts = clean.split('/');
  const first = parts.findIndex(hasWildcards);
  const fixed = parts.slice(0, first).join('/');
  const pattern = compile(parts.slice(first).join('/'));
  const root = resolvePath(tree, fixed, true);
  if (root?.entry?.type !== 'dir') return [];
  const found: string[] = [];
  const walk = (relative: string): void => {
    for (const [name, entry] of tree.list(join(root.path, relative))) {
      const path = join(relative, name);
      if (matchesGlob(pattern, path)) found.push(join(root.path, path));
      else if (entry.type === 'dir') walk(path);
    }
  };
  walk('');
  return found;
}

function* descendants(tree: Tree, at: string, relative: string): Generator<string> {
  for (const [name, entry] of tree.list(join(at, relative))) {
    const path = join(relative, name);
    yield path;
    if (entry.type === 'dir') yield* descendants(tree, at, path);
  }
}

/** A digest of everything about the sources that can show in the result; of owners only when they are kept. */
export function selectionDigest(selected: readonly Selected[], keepOwners: boolean): Digest {
  const lines = selected.flatMap(({ base, entries }) => [
    JSON.stringify(base),
    ...entries.map(({ path, entry }) => {
      const owner = keepOwners ? `${entry.uid}:${entry.gid}` : '';
      const special = entry.type === 'char' || entry.type === 'block' ? entry.rdev.join(':') : '';
      const xattrs = entry.xattrs ? JSON.stringify(entry.xattrs) : '';
      return `${JSON.stringify(path)} ${entry.type} ${entry.mode.toString(8)} ${owner} ${entry.digest}${JSON.stringify(entry.link)} ${special} ${xattrs} ${linkGroup(entry)}`;
    }),
  ]);
  return sha256(lines.join('\n'));
}

function linkGroup(entry: TreeEntry): string {
  return entry.group === entry.path ? '' : JSON.stringify(entry.group);
}

function compile(pattern: string): Glob {
  const glob = parseGlob(pattern);
  if (!glob) throw new TbuildError('dockerfile/bad-pattern', `syntax error in pattern: ${pattern}`);
  return glob;
}

function notFound(written: string, what: string): TbuildError {
  return new TbuildError('context/not-found', `"${written}" not found in ${what}`, {
    hint: what === 'the build context' ? 'paths are relative to the build context; .dockerignore may exclude it' : undefined,
  });
}

/** Lexically cleaned and clamped to the root, without slashes around it. */
function cleanPath(written: string): string {
  const parts: string[] = [];
  for (const part of written.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return parts.join('/');
}

function* ancestors(path: string): Generator<string> {
  for (let end = path.indexOf('/'); end >= 0; end = path.indexOf('/', end + 1)) yield path.slice(0, end);
}

function join(a: string, b: string): string {
  return a === '' ? b : b === '' ? a : `${a}/${b}`;
}
