// What a tree answers to one question about one path: the only place that says what an observation holds. Steps that look for themselves
// and commands that are watched are recorded by it, and traces are compared by it. Answers from indexes; of times none says anything.

import { sha256 } from '../base/digest.ts';
import type { Observation } from '../cache/traces.ts';
import { resolveOwner, resolveUser } from '../snapshots/accounts.ts';
import type { Entry, LayerIndex } from '../snapshots/layer-index.ts';
import type { Tree } from '../snapshots/tree.ts';

/** What answers: all there is below a COPY, or one gap as the layers around it see it. */
export interface View {
  readonly tree: Omit<Tree, 'below'>;
  /** What the tree is made of. */
  readonly indexes: readonly LayerIndex[];
  /** All layers of the root: names of users are looked up in them. */
  readonly root: readonly LayerIndex[];
  /** Of a bind mount: its type and where in its layers it is. */
  readonly mounted?: string | undefined;
}

/** A listing longer than this is kept as its digest. */
const MAX_LISTING = 16 << 10;

const LETTERS = { file: '-', dir: 'd', symlink: 'l', char: 'c', block: 'b', fifo: 'p', socket: 's', whiteout: 'w' } as const;

/**
 * Undefined: the question cannot be asked here, for there is nothing or something of another kind.
 * `N` absent, or a whiteout · `L` type, mode, owner, device, whether a file is empty · `S` L, and size, link group, content or target ·
 * `Z` size · `R` link target · `D` names and types · `C` content · `X` path, NUL, name: one extended attribute · `A` all of them ·
 * `O` whether a directory is opaque · `P` whether no layer has extended attributes, whiteouts or opaque directories · `U` the [user, group] of a --chown as uid:gid, or the user of a RUN as all that comes with it ·
 * `M` where a bind mount is from.
 */
export function answer(view: View, kind: string, path: string): string | undefined {
  if (kind === 'U') return userAnswer(view.root, path);
  if (kind === 'M') return view.mounted;
  if (kind === 'P') return view.indexes.every((index) => index.isPlain) ? 'plain' : '';
  if (kind === 'D') return listing(view, path);
  const end = kind === 'X' ? path.indexOf('\0') : path.length;
  const entry = view.tree.lookup(path.slice(0, end));
  if (kind === 'N') return entry === undefined ? '' : entry.type === 'whiteout' ? 'whiteout' : undefined;
  if (!entry || entry.type === 'whiteout') return undefined;
  return entryAnswer(view, entry, kind, path.slice(end + 1));
}

/** The answer to a look at a path, whatever is there: N or L. */
export function lookObservation(path: string, entry: Entry | undefined): Observation {
  if (!entry) return ['N', path, ''];
  return entry.type === 'whiteout' ? ['N', path, 'whiteout'] : ['L', path, looks(entry)];
}

function entryAnswer({ indexes }: View, entry: Entry, kind: string, name: string): string | undefined {
  switch (kind) {
    case 'L':
      return looks(entry);
    case 'S':
      return status(entry, indexes);
    case 'Z':
      return entry.type === 'file' ? String(entry.size) : undefined;
    case 'R':
      return entry.type === 'symlink' ? entry.link : undefined;
    case 'C':
      return entry.type === 'file' ? entry.digest : undefined;
    case 'A':
      return entry.xattrs ? JSON.stringify(entry.xattrs) : '';
    case 'X':
      return entry.xattrs?.[name] === undefined ? 'none' : `=${entry.xattrs[name]}`;
    case 'O':
      return entry.type === 'dir' ? (entry.opaque ? 'opaque' : '') : undefined;
    default:
      return undefined;
  }
}

function looks(entry: Entry): string {
  const { type, mode, uid, gid, rdev, size } = entry;
  const more = type === 'char' || type === 'block' ? ` ${rdev.join(':')}` : type === 'file' && size === 0 ? ' empty' : '';
  return `${type} ${mode.toString(8)} ${uid}:${gid}${more}`;
}

/** Of hard links also which names are one file. */
function status(entry: Entry, indexes: readonly LayerIndex[]): string {
  if (entry.type === 'symlink') return `${looks(entry)} ${entry.link}`;
  if (entry.type !== 'file') return looks(entry);
  return `${looks(entry)} ${entry.size} ${entry.digest}${linked(entry, indexes)}`;
}

/** The first name of a group alone would do within one layer. */
function linked(entry: Entry, indexes: readonly LayerIndex[]): string {
  const links = entry.type === 'file' ? (indexes[entry.layer]?.linkCount(entry.path) ?? 1) : 1;
  return links > 1 ? ` ${links}@${entry.layer}:${entry.group}` : '';
}

/** Names that are one file show there too, by the numbers of their inodes. */
function listing({ tree, indexes }: View, path: string): string | undefined {
  if (tree.lookup(path)?.type !== 'dir') return undefined;
  // No name holds a slash or a NUL, so that no two listings look the same.
  const text = tree
    .list(path)
    .map(([name, entry]) => `${LETTERS[entry.type]}${name}${linked(entry, indexes).replace(' ', '\0').replaceAll('/', '\0')}`)
    .join('/');
  return text.length <= MAX_LISTING ? text : sha256(JSON.stringify(text));
}

/** Undefined: there is no such user. */
function userAnswer(layers: readonly LayerIndex[], question: string): string | undefined {
  const asked = JSON.parse(question) as string | [string, string | null];
  if (typeof asked !== 'string') {
    const { uid, gid } = resolveOwner(layers, asked[0], asked[1] ?? undefined);
    return `${uid}:${gid}`;
  }
  try {
    const { uid, gid, additionalGids, home } = resolveUser(layers, asked);
    return JSON.stringify([uid, gid, additionalGids, home]);
  } catch {
    return undefined;
  }
}
