// What a COPY or ADD takes: from source paths as written to the entries of a tree, wildcards and links resolved (BuildKit: fsutil/copy).
// Only decides; the tree may be a scanned context or a stack of layers.

import { type Digest, sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import { type Glob, hasWildcards, matchesGlob, parseGlob } from '../context/glob.ts';
import { compileExcludes, type IgnoreRules, type IgnoreState } from '../context/ignore.ts';
import type { Entry } from '../snapshots/layer-index.ts';
import { resolvePath, type Tree } from '../snapshots/tree.ts';

export interface SelectOptions {
  readonly paths: readonly string[];
  readonly exclude: readonly string[];
  /** Keep the path below the last `/./`, or the whole path. */
  readonly parents: boolean;
}

/** One entry to copy. `path` is relative to where the source lands; a directory comes before what it holds. */
export interface SelectedEntry {
  readonly path: string;
  readonly entry: Entry;
  /** A directory that is only passed through: one that is there keeps its owner. */
  readonly isPassed?: true;
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
  return matches(tree, clean, what).map((path) => selectOne(tree, path, path, excludes, what));
}

function selectOne(tree: Tree, path: string, written: string, excludes: IgnoreRules | undefined, what: string): Selected {
  const resolved = resolvePath(tree, path, true);
  if (!resolved?.entry) throw notFound(written, what);
  return { base: path.slice(path.lastIndexOf('/') + 1), entries: collect(tree, resolved.entry, resolved.path, excludes) };
}

/** A directory with all it holds, or one file: what a mount shows. */
export interface SelectedTree {
  readonly path: string;
  readonly entry: Entry;
  /** Its own entry first, as ''. Listed when asked for: it may be all of an image. */
  readonly list: () => readonly SelectedEntry[];
}

/** `path` as it is, without wildcards; links are followed inside the tree. Throws `context/not-found`. */
export function selectTree(tree: Tree, path: string, what: string): SelectedTree {
  const resolved = resolvePath(tree, path, true);
  if (!resolved?.entry) throw notFound(path, what);
  const { entry } = resolved;
  return { path: resolved.path, entry, list: () => collect(tree, entry, resolved.path, undefined) };
}

/**
 * `--parents`: the directories on the way come along, with their attributes, as contents of the destination directory. What is taken is
 * said as in an ignore file, `**` in it; only a path without wildcards must be there (BuildKit: convert_copy.go, requiredPaths).
 */
function selectWithParents(tree: Tree, written: string, excludes: IgnoreRules | undefined, what: string): Selected[] {
  const pivot = written.indexOf('/./');
  const base = cleanPath(pivot < 0 ? '' : written.slice(0, pivot));
  const rest = cleanPath(pivot < 0 ? written : written.slice(pivot + 3));
  const isLiteral = !hasWildcards(base) && !hasWildcards(rest);
  if (isLiteral && !resolvePath(tree, join(base, rest), true)?.entry) throw notFound(written, what);
  const bases = hasWildcards(base) ? matches(tree, base, what) : [base];
  return bases.map((path) => selectBelow(tree, path, rest, excludes, what));
}

function selectBelow(tree: Tree, base: string, pattern: string, excludes: IgnoreRules | undefined, what: string): Selected {
  const root = resolvePath(tree, base, true);
  if (!root?.entry) throw notFound(base, what);
  // A file is taken whatever the pattern says.
  const entries = [{ path: '', entry: root.entry }];
  if (root.entry.type !== 'dir') return { base: base.slice(base.lastIndexOf('/') + 1), entries };
  const parts = pattern.split('/');
  const wild = parts.findIndex((part) => /[*?[\\!]/.test(part));
  const included = pattern === '' ? undefined : compileExcludes([pattern]);
  const below = takenBelow(tree, root.path, {
    included,
    way: included ? parts.slice(0, wild < 0 ? parts.length : wild) : [],
    excludes,
  });
  return { base: '', entries: [...entries, ...below] };
}

interface Choice {
  /** Undefined: all. */
  readonly included?: IgnoreRules | undefined;
  /** The names on the way to all that can be included. */
  readonly way?: readonly string[];
  readonly excludes: IgnoreRules | undefined;
}

/** What is chosen below a directory, links not followed, each after the directories on the way to it (fsutil/copy: copier.copy). */
function takenBelow(tree: Tree, root: string, { included, way = [], excludes }: Choice): SelectedEntry[] {
  const taken: SelectedEntry[] = [];
  /** Directories that are not chosen themselves, and nothing in them yet. */
  const passed: SelectedEntry[] = [];
  const walk = (relative: string, depth: number, inside: IgnoreState, outside: IgnoreState): void => {
    for (const [name, entry] of tree.list(join(root, relative))) {
      if (way[depth] !== undefined && way[depth] !== name) continue;
      const path = join(relative, name);
      const inclusion = included?.excludes(path, inside);
      const exclusion = excludes?.excludes(path, outside);
      const isTaken = inclusion?.excluded !== false && exclusion?.excluded !== true;
      if (isTaken) taken.push(...passed.splice(0), { path, entry });
      if (entry.type !== 'dir' || exclusion?.descend === false) continue;
      if (!isTaken) passed.push({ path, entry, isPassed: true });
      walk(path, depth + 1, inclusion?.state ?? [], exclusion?.state ?? []);
      if (passed.at(-1)?.path === path) passed.pop();
    }
  };
  walk('', 0, included?.root ?? [], excludes?.root ?? []);
  return taken;
}

function collect(tree: Tree, entry: Entry, at: string, excludes: IgnoreRules | undefined): SelectedEntry[] {
  if (entry.type !== 'dir') return [{ path: '', entry }];
  const start = at === '' ? 0 : at.length + 1;
  if (excludes) return [{ path: '', entry }, ...takenBelow(tree, at, { excludes })];
  return [{ path: '', entry }, ...Array.from(tree.below(at), (inside) => ({ path: inside.path.slice(start), entry: inside }))];
}

/** Wildcards as Go's filepath.Match on the path below the fixed prefix, in walking order; what matched is not descended into. */
function matches(tree: Tree, clean: string, what: string): string[] {
  const parts = clean.split('/');
  const first = parts.findIndex(hasWildcards);
  const fixed = parts.slice(0, first).join('/');
  const pattern = compile(parts.slice(first).join('/'));
  const root = resolvePath(tree, fixed, true);
  // The wildcards may match nothing; what stands before them is there.
  if (!root?.entry) throw notFound(fixed, what);
  if (root.entry.type !== 'dir') return [];
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

/** A digest of everything about the sources that can show in the result; of owners only when they are kept. */
export function selectionDigest(selected: readonly Selected[], keepOwners: boolean): Digest {
  // Neither paths nor links can hold a NUL, so it keeps the fields apart.
  let text = '';
  for (const { base, entries } of selected) {
    text += `${base}\0${entries.length}\0`;
    for (const { path, entry } of entries) {
      const owner = keepOwners ? `${entry.uid}:${entry.gid}` : '';
      const special = entry.type === 'char' || entry.type === 'block' ? entry.rdev.join(':') : '';
      const xattrs = entry.xattrs ? JSON.stringify(entry.xattrs) : '';
      const group = entry.group === entry.path ? '' : entry.group;
      text += `${path}\0${entry.type}\0${entry.mode}\0${owner}\0${entry.digest}\0${entry.link}\0${special}\0${xattrs}\0${group}\0`;
    }
  }
  return sha256(text);
}

/** The same for people: of each file seven fields, by the path that it is taken from. */
export function selectionText(selected: readonly Selected[], keepOwners: boolean): string {
  const files = new Map<string, string>();
  for (const { entries } of selected) {
    for (const { entry } of entries) {
      const owner = keepOwners ? `${entry.uid}:${entry.gid}` : '';
      const xattrs = entry.xattrs ? JSON.stringify(entry.xattrs) : '';
      const group = entry.group === entry.path ? '' : entry.group;
      const content = entry.type === 'symlink' ? entry.link : entry.type === 'file' ? entry.digest : entry.rdev.join(':');
      files.set(entry.path, [entry.path, entry.type, entry.mode.toString(8), owner, content, xattrs, group].join('\0'));
    }
  }
  return [...files.values()].join('\0');
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

function join(a: string, b: string): string {
  return a === '' ? b : b === '' ? a : `${a}/${b}`;
}
