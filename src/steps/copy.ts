// COPY and ADD: select from a context or a state, place over what is below, write one layer.
// Sees the chosen sources as a whole, and of the layers below only the paths to its destination: so it is reused on another base.

import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { Driver, LayerEntry, LayerSource } from '../native/serve.ts';
import type { CopyOperation } from '../plan/graph.ts';
import type { Ids } from '../snapshots/accounts.ts';
import { type Entry, LayerIndex } from '../snapshots/layer-index.ts';
import { EMPTY_ROOT, mergedTree, scannedTree, type Tree } from '../snapshots/tree.ts';
import { holds, observe } from './observe.ts';
import { type ContentOf, Placement } from './place.ts';
import { type Selected, type SelectedTree, selectionDigest, selectSources } from './select.ts';
import { type Executed, indexesOf, type Prepared, type Result, type State, type Workshop } from './step.ts';

/** `from`: the result that paths are looked up in; undefined when everything is inline. */
export function prepareCopy(workshop: Workshop, operation: CopyOperation, below: State, from: Result | undefined): Prepared {
  const source = openSource(workshop, from);
  const selected = selectSources(source.tree, operation, source.what);
  const keepOwners = !operation.fromContext && operation.owner === undefined;
  const indexes = indexesOf(workshop, below);
  return {
    record: recordOf(operation),
    exact: [selectionDigest(selected, keepOwners)],
    inputs: below.map(({ id }) => id),
    matches: (trace) => holds(trace.gaps[0] ?? [], operation.link ? [] : indexes),
    execute: () => execute(workshop, operation, operation.link ? [] : indexes, source, selected),
  };
}

function recordOf(operation: CopyOperation): Prepared['record'] {
  const { add, fromContext, paths, destination, owner, mode, link, parents, exclude, unpack } = operation;
  const inline = operation.inline.map(({ name, content }) => ({ name, content: sha256(content) }));
  return { version: 1, kind: 'copy', add, fromContext, paths, inline, destination, owner, mode, link, parents, exclude, unpack };
}

/** The tree of a mount's source as a layer that holds it as `source`, for what is no layer yet. */
export function prepareTree(workshop: Workshop, source: OpenSource, tree: SelectedTree): Prepared {
  const root = { uid: 0, gid: 0 };
  return {
    record: { version: 1, kind: 'tree' },
    exact: [selectionDigest([{ base: '', entries: tree.list() }], false)],
    inputs: [],
    matches: () => true,
    execute: async () => ({ summary: await writeTree(workshop, source, tree, root, workshop.driver), gaps: [] }),
  };
}

/** The same as a directory of this process. */
export async function copyTreeOut(workshop: Workshop, source: OpenSource, tree: SelectedTree): Promise<string> {
  const { data } = await writeTree(workshop, source, tree, source.owner, 'directory');
  return join(data, 'source');
}

function writeTree(workshop: Workshop, source: OpenSource, tree: SelectedTree, owner: Ids | undefined, driver: Driver) {
  const placement = new Placement(mergedTree([]), { destination: '/', owner, mode: undefined, mtime: tree.entry.mtime });
  const entries = tree.list().map(({ path, entry }) => ({ path: path === '' ? 'source' : `source/${path}`, entry }));
  placement.add({ base: '', entries: [{ path: '', entry: EMPTY_ROOT }, ...entries] }, source.content);
  const { sources } = source;
  return workshop.serve.call('writeLayer', { driver, out: workshop.newPath(), sources, entries: placement.entries() });
}

/** What paths are looked up in. */
export interface OpenSource {
  /** As messages name it. */
  readonly what: string;
  /** Of all its files: those of a context belong to root. */
  readonly owner: Ids | undefined;
  readonly tree: Tree;
  readonly sources: readonly LayerSource[];
  readonly content: ContentOf;
  /** The first bytes of a regular file. */
  readonly peek: (entry: Entry, length: number) => Buffer;
}

export function openSource(workshop: Workshop, from: Result | undefined): OpenSource {
  if (from?.kind === 'state') return openState(workshop, from.state);
  if (from?.kind === 'context') {
    return {
      what: 'the build context',
      owner: { uid: 0, gid: 0 },
      tree: scannedTree(from.index),
      sources: [{ root: from.root }],
      content: (entry) => ({ source: 0, at: entry.path }),
      peek: (entry, length) => readRange(join(from.root, entry.path), 0, length),
    };
  }
  return openState(workshop, []);
}

function openState(workshop: Workshop, state: State): OpenSource {
  const { layers } = workshop;
  const isImage = (entry: Entry) => state[entry.layer]?.driver === 'erofs';
  return {
    what: 'the stage or image that it is taken from',
    owner: undefined,
    tree: mergedTree(indexesOf(workshop, state)),
    sources: state.map((layer) => layers.source(layer)),
    content: (entry) => ({ source: entry.layer, at: isImage(entry) ? entry.offset : entry.path }),
    peek: (entry, length) => {
      const data = layers.dataPath(state[entry.layer] as State[number]);
      return isImage(entry)
        ? readRange(data, entry.offset, Math.min(length, entry.size))
        : readRange(join(data, entry.path), 0, length);
    },
  };
}

async function execute(
  workshop: Workshop,
  operation: CopyOperation,
  below: readonly LayerIndex[],
  source: OpenSource,
  selected: readonly Selected[],
): Promise<Executed> {
  const observer = observe(below);
  const asked = operation.owner && observer.ownerOf(operation.owner.user, operation.owner.group);
  const placement = new Placement(observer.tree, {
    destination: operation.destination,
    owner: asked ?? source.owner,
    mode: operation.mode,
    mtime: newestTime(selected),
  });
  const sources = [...source.sources];
  for (const item of selected) {
    const archive = operation.add && operation.unpack !== false ? await openArchive(workshop, source, item) : undefined;
    if (!archive) {
      placement.add(item, source.content);
      continue;
    }
    const position = sources.push(archive.source) - 1;
    placement.extract(archive.tree, (entry) => ({ source: position, at: archive.at(entry) }), asked);
  }
  for (const { name, content } of operation.inline) placement.addText(name, content);
  const entries: LayerEntry[] = placement.entries();
  const summary = await workshop.serve.call('writeLayer', { driver: workshop.driver, out: workshop.newPath(), sources, entries });
  return { summary, gaps: [observer.observations()] };
}

/** Directories made on the way are as old as the newest source, so that equal sources give equal layers; without a source, of now. */
function newestTime(selected: readonly Selected[]): readonly [number, number] {
  if (selected.length === 0) return [Math.floor(Date.now() / 1000), 0];
  let newest: readonly [number, number] = [0, 0];
  for (const { entries } of selected) {
    for (const { entry } of entries) {
      if (entry.mtime[0] > newest[0] || (entry.mtime[0] === newest[0] && entry.mtime[1] > newest[1])) newest = entry.mtime;
    }
  }
  return newest;
}

interface Archive {
  readonly tree: Tree;
  readonly source: LayerSource;
  readonly at: (entry: Entry) => string | number;
}

/** ADD extracts a local archive, told by its content; what does not begin as one is copied as it is (Docker: archive.IsArchivePath). */
async function openArchive(workshop: Workshop, source: OpenSource, item: Selected): Promise<Archive | undefined> {
  const entry = item.entries[0]?.entry;
  if (entry?.type !== 'file' || !looksLikeArchive(source.peek(entry, 512))) return undefined;
  const { source: which, at } = source.content(entry);
  const from = source.sources[which as number] as LayerSource;
  const archive = 'root' in from ? join(from.root, String(at)) : await copyOut(workshop, source, entry);
  try {
    const unpacked = await workshop.serve.call('unpack', {
      driver: workshop.driver,
      out: workshop.newPath(),
      archive,
      whiteouts: false,
      split: false,
    });
    const index = LayerIndex.read(unpacked.index);
    const isImage = workshop.driver === 'erofs';
    return {
      tree: scannedTree(index),
      source: isImage ? { data: unpacked.data } : { root: unpacked.data },
      at: (inside) => (isImage ? inside.offset : inside.path),
    };
  } catch (error) {
    if (!(error instanceof TbuildError)) throw error;
    if (error.code === 'native/no-archive') return undefined;
    if (!['native/bad-archive', 'native/bad-entry', 'native/too-large'].includes(error.code)) throw error;
    throw new TbuildError('context/bad-archive', `cannot extract ${entry.path}: ${error.message}`, {
      cause: error,
      hint: 'ADD --unpack=false takes the archive as it is',
    });
  }
}

/** An archive inside a layer becomes a file of this process, for the unpacker to read. */
async function copyOut(workshop: Workshop, source: OpenSource, entry: Entry): Promise<string> {
  const out = workshop.newPath();
  const file: LayerEntry = {
    path: 'archive',
    type: 'file',
    mode: 0o600,
    uid: 0,
    gid: 0,
    mtime: [0, 0],
    size: entry.size,
    digest: entry.digest,
    ...source.content(entry),
  };
  const summary = await workshop.serve.call('writeLayer', { driver: 'directory', out, sources: source.sources, entries: [file] });
  return join(summary.data, 'archive');
}

/** gzip, bzip2, xz, zstd, or a tar's header: one that sums up to what it says. */
function looksLikeArchive(head: Buffer): boolean {
  const magics = ['1f8b08', '425a68', 'fd377a585a00', '28b52ffd'];
  if (magics.some((magic) => head.subarray(0, magic.length / 2).toString('hex') === magic)) return true;
  if (head.length < 512) return false;
  const said = /^[ \0]*([0-7]+)[ \0]*$/.exec(head.toString('latin1', 148, 156))?.[1];
  if (said === undefined) return false;
  // The sum's own field counts as spaces. Some writers add up signed bytes (POSIX pax, "ustar Interchange Format": old ones did).
  const bytes = [...head.subarray(0, 148), ...Array<number>(8).fill(0x20), ...head.subarray(156, 512)];
  const unsigned = bytes.reduce((sum, byte) => sum + byte, 0);
  const signed = bytes.reduce((sum, byte) => sum + (byte > 127 ? byte - 256 : byte), 0);
  return [unsigned, signed].includes(Number.parseInt(said, 8));
}

function readRange(path: string, offset: number, length: number): Buffer {
  const fd = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(length);
    return buffer.subarray(0, readSync(fd, buffer, 0, length, offset));
  } finally {
    closeSync(fd);
  }
}
