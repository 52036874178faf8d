// Where the sources of a COPY or ADD land: from selected entries to the entries of a layer, by what already stands at the destination
// (BuildKit: fsutil/copy, solver/llbsolver/file). Reads the tree below through `Seen`, so that all it asked becomes the step's observations.

import { dirname } from 'node:path';
import { TbuildError } from '../base/errors.ts';
import type { LayerEntry } from '../native/serve.ts';
import type { Ids } from '../snapshots/accounts.ts';
import type { Entry } from '../snapshots/layer-index.ts';
import { type Lookup, resolvePath, type Tree } from '../snapshots/tree.ts';
import { changeMode } from './mode.ts';
import type { Selected } from './select.ts';

export interface PlaceOptions {
  /** Absolute; a trailing slash says: a directory. */
  readonly destination: string;
  /** Owner of everything; undefined: the sources' owners (0:0 for what is created on the way). */
  readonly owner: Ids | undefined;
  /** Octal or symbolic; undefined: the sources' modes. */
  readonly mode: string | undefined;
  /** Modification time of directories made on the way. */
  readonly mtime: readonly [number, number];
}

/** Where an entry's content comes from: which of the layer's sources, and where in it. */
export type ContentOf = (entry: Entry) => Pick<LayerEntry, 'source' | 'at'>;

/** The layer under construction, over the tree below it. */
export class Placement {
  readonly #below: Lookup;
  readonly #options: PlaceOptions;
  readonly #entries = new Map<string, LayerEntry>();
  /** Where the first path of a hard-link group landed, by source and group. */
  readonly #groups = new Map<string, string>();

  constructor(below: Lookup, options: PlaceOptions) {
    this.#below = below;
    this.#options = options;
  }

  entries(): LayerEntry[] {
    return [...this.#entries.values()];
  }

  /** Copies one source: a directory's contents, or one entry. */
  add(source: Selected, content: ContentOf): void {
    const [root, ...rest] = source.entries;
    if (!root) return;
    // Names of one file stay so within a source, not across them (BuildKit: a copier for each).
    this.#groups.clear();
    const target = this.#resolve(this.#options.destination);
    if (root.entry.type !== 'dir') {
      const intoDirectory = this.#options.destination.endsWith('/') || this.#at(target)?.type === 'dir';
      // In a directory a link of that name is replaced, not followed.
      const path = intoDirectory ? join(target, source.base) : target;
      this.#makeParents(parentOf(path), this.#options.mode);
      this.#put(path, root.entry, content);
      return;
    }
    const there = this.#at(target);
    if (there && there.type !== 'dir') throw new TbuildError('run/copy', `cannot copy to non-directory: /${target}`);
    this.#makeParents(target, this.#options.mode);
    for (const { path, entry, isPassed } of rest) {
      if (isPassed) this.#pass(join(target, path), entry, content);
      else this.#put(join(target, path), entry, content);
    }
  }

  /**
   * Extracts an archive's tree into the destination, as tar does: anything replaces anything, links inside it stay inside the destination.
   * Modes are the archive's; owners, too, unless `owner` is asked for.
   */
  extract(tree: Tree, content: ContentOf, owner: Ids | undefined): void {
    const target = this.#resolve(this.#options.destination);
    const there = this.#at(target);
    if (there && there.type !== 'dir') throw new TbuildError('run/copy', `cannot extract to non-directory: /${target}`);
    // The mode that is asked for says nothing about an archive and where it lands.
    this.#makeParents(target, undefined);
    this.#groups.clear();
    const walk = (at: string, landing: string): void => {
      for (const [name, entry] of tree.list(at)) {
        // A directory may be a link here, and is followed as if the destination were all there is (BuildKit: file/unpack_root.go).
        const path =
          entry.type === 'dir'
            ? join(target, this.#resolve(join(landing, name).slice(target.length), target))
            : join(landing, name);
        this.#makeParents(parentOf(path), undefined);
        if (!entry.implied) this.#replace(path, entry, content, owner);
        else if (this.#at(path)) this.#makeParents(path, undefined);
        else this.#entries.set(path, { path, type: 'dir', mode: 0o755, uid: 0, gid: 0, mtime: this.#options.mtime });
        if (entry.type === 'dir') walk(join(at, name), path);
      }
    };
    walk('', target);
  }

  /** Writes an inline file (a heredoc). */
  addText(name: string, text: string): void {
    const target = this.#resolve(this.#options.destination);
    const intoDirectory = this.#options.destination.endsWith('/') || this.#at(target)?.type === 'dir';
    const path = intoDirectory ? join(target, name) : target;
    this.#makeParents(parentOf(path), this.#options.mode);
    this.#refuseDirectory(path);
    const mode = changeMode(0o644, false, this.#options.mode);
    const { uid, gid } = this.#options.owner ?? { uid: 0, gid: 0 };
    this.#entries.set(path, {
      path,
      type: 'file',
      mode,
      uid,
      gid,
      mtime: this.#options.mtime,
      text,
      size: Buffer.byteLength(text),
    });
  }

  /** Makes a directory and the missing ones above it (WORKDIR). */
  addDirectory(): void {
    const target = this.#resolve(this.#options.destination);
    const there = this.#at(target);
    if (there && there.type !== 'dir')
      throw new TbuildError('run/workdir', `cannot make the directory /${target}: a ${there.type} is there`);
    this.#makeParents(target, this.#options.mode);
  }

  /** A directory on the way to what is taken: one that is there gets the mode, and keeps the rest (fsutil/copy: createParentDirs). */
  #pass(path: string, entry: Entry, content: ContentOf): void {
    if (this.#at(path)?.type !== 'dir') {
      this.#put(path, entry, content);
      return;
    }
    const { uid, gid, mtime, xattrs } = this.#entries.get(path) ?? (this.#below.lookup(path) as Entry);
    this.#entries.set(path, { path, type: 'dir', mode: entry.mode, uid, gid, mtime, ...(xattrs ? { xattrs } : {}) });
  }

  #put(path: string, entry: Entry, content: ContentOf): void {
    const there = this.#at(path);
    if (there && (there.type === 'dir') !== (entry.type === 'dir')) {
      const what =
        entry.type === 'dir' ? `cannot copy the directory ${entry.path} onto the ${there.type}` : `cannot replace the directory`;
      throw new TbuildError('run/copy', `${what} /${path}${entry.type === 'dir' ? '' : ` with the ${entry.type} ${entry.path}`}`);
    }
    this.#entries.set(path, this.#copyOf(path, entry, content, this.#options.owner, this.#options.mode));
  }

  #replace(path: string, entry: Entry, content: ContentOf, owner: Ids | undefined): void {
    if (this.#at(path)?.type === 'dir' && entry.type !== 'dir') this.#forgetBelow(path);
    this.#entries.set(path, this.#copyOf(path, entry, content, owner, undefined));
  }

  #copyOf(path: string, entry: Entry, content: ContentOf, asked: Ids | undefined, mode: string | undefined): LayerEntry {
    if (!path.isWellFormed() || !entry.link.isWellFormed()) throw notUtf8(path);
    const owner = asked ?? entry;
    const common = {
      path,
      type: entry.type,
      mode: entry.type === 'symlink' ? 0o777 : changeMode(entry.mode, entry.type === 'dir', mode),
      uid: owner.uid,
      gid: owner.gid,
      mtime: entry.mtime,
      ...(entry.xattrs ? { xattrs: entry.xattrs } : {}),
    };
    if (entry.type === 'symlink') return { ...common, link: entry.link };
    if (entry.type === 'char' || entry.type === 'block') return { ...common, rdev: entry.rdev };
    if (entry.type !== 'file') return common;
    const group = `${entry.layer} ${entry.group}`;
    const first = this.#groups.get(group);
    // The first path of the group may have been replaced by a later source: then this one holds the content itself.
    if (first !== undefined && first !== path && this.#entries.get(first)?.digest === entry.digest)
      return { ...common, hardlink: first };
    this.#groups.set(group, path);
    return { ...common, size: entry.size, digest: entry.digest, ...(entry.size > 0 ? content(entry) : {}) };
  }

  /** Every directory down to `path`: those that stand below are passed through (implied), missing ones are made. */
  #makeParents(path: string, mode: string | undefined): void {
    const chain = path === '' ? [''] : ['', ...prefixes(path)];
    for (const directory of chain) {
      if (this.#entries.has(directory)) {
        if (this.#entries.get(directory)?.type !== 'dir')
          throw new TbuildError('run/copy', `cannot make the directory /${directory}: a file is there`);
        continue;
      }
      const there = this.#below.lookup(directory);
      if (there && there.type !== 'dir')
        throw new TbuildError('run/copy', `cannot make the directory /${directory}: a ${there.type} is there`);
      this.#entries.set(directory, there ? implied(there) : this.#newDirectory(directory, mode));
    }
  }

  #newDirectory(path: string, mode: string | undefined): LayerEntry {
    const { uid, gid } = this.#options.owner ?? { uid: 0, gid: 0 };
    const octal = mode !== undefined && /^[0-7]+$/.test(mode);
    return {
      path,
      type: 'dir',
      // Without the special bits (fsutil/copy: MkdirAll).
      mode: octal ? changeMode(0o755, true, mode) & 0o777 : 0o755,
      uid,
      gid,
      mtime: this.#options.mtime,
    };
  }

  #refuseDirectory(path: string): void {
    if (this.#at(path)?.type === 'dir') throw new TbuildError('run/copy', `cannot replace the directory /${path} with a file`);
  }

  #forgetBelow(path: string): void {
    for (const key of this.#entries.keys()) if (key.startsWith(`${path}/`)) this.#entries.delete(key);
  }

  /** What stands at a path now: what this layer has put there, else what is below. */
  #at(path: string): Pick<Entry, 'type'> | undefined {
    const mine = this.#entries.get(path);
    if (mine) return mine;
    for (let up = parentOf(path); up !== ''; up = parentOf(up)) {
      const parent = this.#entries.get(up);
      if (parent && (parent.type !== 'dir' || !this.#below.lookup(up))) return undefined;
    }
    return this.#below.lookup(path);
  }

  /** Follows symlinks of the tree below `root` (never out of it), the last component's too. */
  #resolve(destination: string, root = ''): string {
    const view = {
      lookup: (inside: string): Pick<Entry, 'type' | 'link'> | undefined => {
        const path = join(root, inside);
        const mine = this.#entries.get(path);
        return mine ? { type: mine.type, link: mine.link ?? '' } : this.#below.lookup(path);
      },
    };
    const resolved = resolvePath(view, destination, true);
    if (!resolved) throw new TbuildError('run/copy', `too many levels of symbolic links in ${destination}`);
    return resolved.path;
  }
}

/** Layers are written from a list in JSON, which has no other names. */
function notUtf8(path: string): TbuildError {
  const shown = path.replaceAll(/[\udc80-\udcff]/gu, (byte) => `\\x${(byte.charCodeAt(0) - 0xdc00).toString(16)}`);
  return new TbuildError('context/not-utf8', `cannot copy ${shown}: its name, or that of what it links to, is not UTF-8`, {
    hint: 'rename it, or leave it out: with .dockerignore, or with --exclude',
  });
}

function implied(entry: Entry): LayerEntry {
  const { path, mode, uid, gid, mtime, xattrs } = entry;
  return { path, type: 'dir', implied: true, mode, uid, gid, mtime, ...(xattrs ? { xattrs } : {}) };
}

function parentOf(path: string): string {
  const parent = dirname(path);
  return parent === '.' ? '' : parent;
}

function prefixes(path: string): string[] {
  const parts = path.split('/');
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
}

function join(a: string, b: string): string {
  return a === '' ? b : b === '' ? a : `${a}/${b}`;
}
