// COPY and ADD: select from a context or a state, place over what is below, write one layer.
// Sees the chosen sources as a whole, and of the layers below only the paths to its destination: so it is reused on another base.

import { join } from 'node:path';
import { sha256 } from '../base/digest.ts';
import { assert } from '../base/errors.ts';
import { ARCHIVE_HEAD_BYTES, looksLikeArchive } from '../context/archive-type.ts';
import type { Driver, LayerEntry, LayerSource } from '../native/serve.ts';
import type { CopyOperation } from '../plan/graph.ts';
import type { Ids } from '../snapshots/accounts.ts';
import { placeOf, readContent } from '../snapshots/contents.ts';
import type { Entry, LayerIndex } from '../snapshots/layer-index.ts';
import { isPresent, type PresentLayer } from '../snapshots/layers.ts';
import { EMPTY_ROOT, mergedTree, scannedTree, type Tree, withModes } from '../snapshots/tree.ts';
import { type Unpacked, unpackArchive } from '../snapshots/unpacked.ts';
import { holds, observe, rootView } from './observe.ts';
import { type ContentOf, Placement } from './place.ts';
import { type Selected, type SelectedTree, selectionDigest, selectionText, selectSources, selectTree } from './select.ts';
import {
  type Executed,
  indexesOf,
  type Prepared,
  presentState,
  type RemoteResult,
  type Report,
  type Result,
  type State,
  type Workshop,
  writeLayer,
} from './step.ts';

/** `from`: the result that paths are looked up in; undefined when there are none. `remotes`: in the places of the operation's. */
export function prepareCopy(
  workshop: Workshop,
  operation: CopyOperation,
  below: State,
  from: Result | undefined,
  remotes: readonly RemoteResult[],
): Prepared {
  const source = openSource(workshop, from);
  const local = select(operation, source);
  const keepOwners = source.owner === undefined && operation.owner === undefined;
  const indexes = indexesOf(workshop, below);
  let texts: readonly string[] | undefined;
  return {
    record: recordOf(operation, remotes),
    exact: [selectionDigest(local.flat(), keepOwners), ...remotes.map(({ digest }) => digest)],
    inputs: below.map(({ id }) => id),
    matches: (trace) => holds(trace.gaps[0] ?? [], rootView(operation.link ? [] : indexes)),
    views: () => [rootView(operation.link ? [] : indexes)],
    inputTexts: () => {
      texts ??= [selectionText(local.flat(), keepOwners), ...remotes.map(({ told }) => told)];
      return texts;
    },
    execute: async (report) => {
      const fetched = await Promise.all(remotes.map((remote) => takeRemote(workshop, operation, remote, report)));
      const taken = inOrder(operation, ...(await withData(workshop, operation, from, source, local)), fetched);
      return execute(workshop, operation, operation.link ? [] : indexes, source.owner, taken);
    },
  };
}

function select(operation: CopyOperation, { tree, what }: OpenSource): Selected[][] {
  return operation.paths.map((path) => selectSources(tree, { ...operation, paths: [path] }, what));
}

/** What was decided from indexes alone is to be read now: of a stage's layers, those whose files are taken. */
async function withData(
  workshop: Workshop,
  operation: CopyOperation,
  from: Result | undefined,
  source: OpenSource,
  local: Selected[][],
): Promise<[OpenSource, Selected[][]]> {
  if (from?.kind !== 'state' || from.state.every(isPresent)) return [source, local];
  const entries = local.flat().flatMap((selected) => selected.entries.map(({ entry }) => entry));
  const taken = new Set(entries.filter(({ type }) => type === 'file').map(({ layer }) => layer));
  const state = from.state.map((layer, place) => (taken.has(place) ? workshop.layers.present(layer) : layer));
  // One that was fetched may have its contents in other places than its index said.
  const opened = openState(workshop, await Promise.all(state));
  return [opened, select(operation, opened)];
}

/** The same with all its data. */
export async function presentResult(workshop: Workshop, result: Result | undefined): Promise<Result | undefined> {
  return result?.kind === 'state' ? { ...result, state: await presentState(workshop, result.state) } : result;
}

function recordOf(operation: CopyOperation, fetched: readonly RemoteResult[]): Prepared['record'] {
  const { add, fromContext, paths, destination, owner, mode, link, parents, exclude, unpack } = operation;
  const inline = operation.inline.map(({ name, content }) => ({ name, content: sha256(content) }));
  // Where a remote source comes from plays no part. Its times do: equal files of other times are no equal result.
  const remotes =
    fetched.length === 0 ? undefined : fetched.map(({ timesFrom }, i) => ({ before: operation.remotes[i]?.before, timesFrom }));
  const told = { paths, remotes, inline, destination, owner, mode, link, parents, exclude, unpack };
  return { version: 1, kind: 'copy', add, fromContext, ...told };
}

/** The tree of a mount's source as a layer that holds it as `source`, for what is no layer yet. */
export function prepareTree(workshop: Workshop, source: OpenSource, tree: SelectedTree): Prepared {
  return {
    record: { version: 1, kind: 'tree' },
    exact: [selectionDigest([{ base: '', entries: tree.list() }], source.owner === undefined)],
    inputs: [],
    matches: () => true,
    views: () => [],
    execute: async () => ({ summary: await writeTree(workshop, source, tree, workshop.driver), gaps: [] }),
  };
}

/** The same as a directory of this process. */
export async function copyTreeOut(workshop: Workshop, source: OpenSource, tree: SelectedTree): Promise<string> {
  return (await writeTree(workshop, source, tree, 'directory')).data;
}

function writeTree(workshop: Workshop, source: OpenSource, tree: SelectedTree, driver: Driver) {
  const { owner } = source;
  const placement = new Placement(mergedTree([]), { destination: '/', owner, mode: undefined, mtime: tree.entry.mtime });
  const entries = tree.list().map(({ path, entry }) => ({ path: path === '' ? 'source' : `source/${path}`, entry }));
  placement.add({ base: '', entries: [{ path: '', entry: EMPTY_ROOT }, ...entries] }, source.content);
  const { sources } = source;
  return writeLayer(workshop, driver, sources, placement.entries());
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
      owner: from.owner,
      tree: from.modes ? withModes(scannedTree(from.index), from.modes) : scannedTree(from.index),
      sources: [from.files],
      content: (entry) => ({ source: 0, at: placeOf(entry, from.files) }),
      peek: (entry, length) => readContent(entry, from.files, length),
    };
  }
  return openState(workshop, []);
}

function openState(workshop: Workshop, state: State): OpenSource {
  const { layers } = workshop;
  const present = state.filter(isPresent);
  const sources = present.map((layer) => layers.source(layer));
  const find = ({ layer }: Entry): [number, LayerSource] => {
    const source = present.indexOf(state[layer] as PresentLayer);
    assert(source >= 0, 'a file is read whose layer was not fetched');
    return [source, sources[source] as LayerSource];
  };
  return {
    what: 'the stage or image that it is taken from',
    owner: undefined,
    tree: mergedTree(indexesOf(workshop, state)),
    sources,
    content: (entry) => {
      if (entry.type !== 'file') return {};
      const [source, files] = find(entry);
      return { source, at: placeOf(entry, files) };
    },
    peek: (entry, length) => readContent(entry, find(entry)[1], length),
  };
}

/** What one source gives. */
interface Taken {
  readonly source: OpenSource;
  readonly selected: readonly Selected[];
  /** Whether archives are extracted. */
  readonly unpack: boolean;
}

/** A file is taken as it is, wildcards in its name too; of a repository, everything. Both are root's. */
async function takeRemote(
  workshop: Workshop,
  operation: CopyOperation,
  { file, open }: RemoteResult,
  report: Report,
): Promise<Taken> {
  const source = openSource(workshop, await open(report));
  const found =
    file === undefined
      ? selectSources(source.tree, { paths: ['/'], exclude: operation.exclude, parents: false }, source.what)
      : [{ base: file, entries: selectTree(source.tree, file, source.what).list() }];
  const asRoot = ({ base, entries }: Selected): Selected => ({
    base,
    entries: entries.map(({ path, entry }) => ({ path, entry: { ...entry, uid: 0, gid: 0 } })),
  });
  // Only a file is extracted, and only where the instruction says so.
  return { source, selected: found.map(asRoot), unpack: file !== undefined && operation.unpack === true };
}

/** As the instruction names them: of two files of one name the last one stays. */
function inOrder(
  operation: CopyOperation,
  source: OpenSource,
  local: readonly (readonly Selected[])[],
  fetched: readonly Taken[],
): Taken[] {
  const unpack = operation.add && operation.unpack !== false;
  const remotesAt = (place: number) => fetched.filter((_, i) => operation.remotes[i]?.before === place);
  return [...local.flatMap((selected, place) => [...remotesAt(place), { source, selected, unpack }]), ...remotesAt(local.length)];
}

async function execute(
  workshop: Workshop,
  operation: CopyOperation,
  below: readonly LayerIndex[],
  sourceOwner: Ids | undefined,
  taken: readonly Taken[],
): Promise<Executed> {
  const observer = observe(below);
  const asked = operation.owner && observer.ownerOf(operation.owner.user, operation.owner.group);
  const placement = new Placement(observer.tree, {
    destination: operation.destination,
    owner: asked ?? sourceOwner,
    mode: operation.mode,
    mtime: madeTime(
      workshop,
      taken.flatMap(({ selected }) => selected),
    ),
  });
  const sources: LayerSource[] = [];
  for (const { source, selected, unpack } of taken) {
    const first = sources.length;
    sources.push(...source.sources);
    const content: ContentOf = (entry) => {
      const place = source.content(entry);
      return { ...place, source: first + (place.source as number) };
    };
    for (const item of selected) {
      const archive = unpack ? await openArchive(workshop, source, item) : undefined;
      if (!archive) {
        placement.add(item, content);
        continue;
      }
      const position = sources.push(archive.files) - 1;
      placement.extract(scannedTree(archive.index), (entry) => ({ source: position, at: placeOf(entry, archive.files) }), asked);
    }
  }
  for (const { name, content } of operation.inline) placement.addText(name, content);
  const entries: LayerEntry[] = placement.entries();
  const summary = await writeLayer(workshop, workshop.driver, sources, entries);
  return { summary, gaps: [observer.observations()] };
}

/** Directories made on the way are as old as the newest source, so that equal sources give equal layers; without a source, of now. */
function madeTime({ times }: Workshop, selected: readonly Selected[]): readonly [number, number] {
  if (times.made !== undefined) return [times.made, 0];
  if (selected.length === 0) return [Math.floor(Date.now() / 1000), 0];
  let newest: readonly [number, number] = [0, 0];
  for (const { entries } of selected) {
    for (const { entry } of entries) {
      if (entry.mtime[0] > newest[0] || (entry.mtime[0] === newest[0] && entry.mtime[1] > newest[1])) newest = entry.mtime;
    }
  }
  return newest;
}

/** ADD extracts a local archive, told by its content; what does not begin as one is copied as it is (Docker: archive.IsArchivePath). */
async function openArchive(workshop: Workshop, source: OpenSource, item: Selected): Promise<Unpacked | undefined> {
  const entry = item.entries[0]?.entry;
  if (entry?.type !== 'file' || !looksLikeArchive(source.peek(entry, ARCHIVE_HEAD_BYTES))) return undefined;
  const { source: which, at } = source.content(entry);
  const from = source.sources[which as number] as LayerSource;
  const inDirectory = 'root' in from;
  return unpackArchive(workshop, workshop.driver, {
    archive: inDirectory ? join(from.root, String(at)) : await copyOut(workshop, source, entry),
    ...(inDirectory && { digest: entry.digest }),
    label: entry.path,
    hint: 'ADD --unpack=false takes the archive as it is',
  });
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
