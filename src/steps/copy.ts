// COPY and ADD: select from a context or a state, place over what is below, write one layer.
// Sees the chosen sources as a whole, and of the layers below only the paths to its destination: so it is reused on another base.

import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { LayerEntry, LayerSource } from '../native/serve.ts';
import type { CopyOperation } from '../plan/graph.ts';
import { LayerIndex } from '../snapshots/layer-index.ts';
import { mergedTree, type Tree, type TreeEntry } from '../snapshots/tree.ts';
import { holds, observe } from './observe.ts';
import { type ContentOf, Placement } from './place.ts';
import { type Selected, selectionDigest, selectSources } from './select.ts';
import { type Executed, indexesOf, type Prepared, type Result, type State, type Workshop } from './step.ts';

/** `from`: the result that paths are looked up in; undefined when everything is inline. */
export function prepareCopy(workshop: Workshop, operation: CopyOperation, below: State, from: Result | undefined): Prepared {
  const source = openSource(workshop, from);
  const selected = selectSources(
    source.tree,
    operation,
    from?.kind === 'state' ? 'the stage or image it copies from' : 'the build context',
  );
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

interface OpenSource {
  readonly tree: Tree;
  readonly sources: readonly LayerSource[];
  readonly content: ContentOf;
  /** The first bytes of a regular file. */
  readonly peek: (entry: TreeEntry, length: number) => Buffer;
}

function openSource(workshop: Workshop, from: Result | undefined): OpenSource {
  if (from?.kind === 'state') return openState(workshop, from.state);
  if (from?.kind === 'context') {
    return {
      tree: mergedTree([from.index]),
      sources: [{ root: from.root }],
      content: (entry) => ({ source: 0, at: entry.path }),
      peek: (entry, length) => readRange(join(from.root, entry.path), 0, length),
    };
  }
  return openState(workshop, []);
}

function openState(workshop: Workshop, state: State): OpenSource {
  const { layers } = workshop;
  const isImage = (entry: TreeEntry) => state[entry.layer]?.driver === 'erofs';
  return {
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
  const owner = ownerOf(operation, observer.ownerOf);
  const placement = new Placement(observer.tree, {
    destination: operation.destination,
    owner,
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
    placement.extract(archive.tree, (entry) => ({ source: position, at: archive.at(entry) }));
  }
  for (const { name, content } of operation.inline) placement.addText(name, content);
  const entries: LayerEntry[] = placement.entries();
  const summary = await workshop.serve.call('writeLayer', { driver: workshop.driver, out: workshop.newPath(), sources, entries });
  return { summary, gaps: [observer.observations()] };
}

/** Files from a context belong to root; from a stage or image they keep their owners. */
function ownerOf(
  operation: CopyOperation,
  resolve: (user: string, group: string | undefined) => { uid: number; gid: number },
): { uid: number; gid: number } | undefined {
  if (operation.owner) return resolve(operation.owner.user, operation.owner.group);
  return operation.fromContext ? { uid: 0, gid: 0 } : undefined;
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
  readonly at: (entry: TreeEntry) => string | number;
}

/** ADD extracts a local archive, told by its content; anything else, and a broken one, is copied as it is. */
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
      tree: mergedTree([index]),
      source: isImage ? { data: unpacked.data } : { root: unpacked.data },
      at: (inside) => (isImage ? inside.offset : inside.path),
    };
  } catch (error) {
    if (error instanceof TbuildError && error.code === 'native/bad-archive') return undefined;
    throw error;
  }
}

/** An archive inside a layer becomes a file of this process, for the unpacker to read. */
async function copyOut(workshop: Workshop, source: OpenSource, entry: TreeEntry): Promise<string> {
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

/** gzip, bzip2, xz, zstd, or a tar header (ustar magic). */
function looksLikeArchive(head: Buffer): boolean {
  const magics = ['1f8b', '425a68', 'fd377a585a00', '28b52ffd'];
  return (
    magics.some((magic) => head.subarray(0, magic.length / 2).toString('hex') === magic) ||
    head.toString('latin1', 257, 262) === 'ustar'
  );
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
