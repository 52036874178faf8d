// Random layers of few names, so that they meet: files, links, whiteouts, opaque directories, hard links, attributes; and random changes of them.

import type { EntryType, LayerEntry } from '../../src/native/serve.ts';
import type { Random } from './random.ts';

/** What one path is in a layer. Parents are directories, or it is left out. */
export interface Spec {
  readonly type: EntryType;
  readonly mode: number;
  readonly uid: number;
  readonly text?: string;
  readonly link?: string;
  readonly opaque?: true;
  /** The path of a file that it is another name of. */
  readonly sameAs?: string;
  readonly xattrs?: Readonly<Record<string, string>>;
  readonly seconds: number;
}
export type Files = Readonly<Record<string, Spec>>;

const NAMES = ['a', 'b', 'c', 'd', 'e'];
const TYPES: readonly EntryType[] = [
  'file', 'file', 'file', 'file', 'dir', 'dir', 'dir', 'symlink', 'symlink', 'whiteout', 'fifo', 'char',
]; // biome-ignore format: weights

/** `isPlain`: nothing with extended attributes or that hides what is below, for then the kernel does not ask for any. */
export function randomFiles(random: Random, root: string, isPlain: boolean): Files {
  const layer: Record<string, Spec> = { [root]: directory(random) };
  for (let count = 4 + random.below(10); count > 0; count--) put(layer, randomPath(random, root), random);
  return isPlain ? plain(layer) : layer;
}

const plain = (layer: Files): Files =>
  Object.fromEntries(
    Object.entries(layer).flatMap(([path, { opaque: _, xattrs: __, ...spec }]) =>
      spec.type === 'whiteout' ? [] : [[path, spec]],
    ),
  );

function randomPath(random: Random, root: string): string {
  return [root, ...Array.from({ length: 1 + random.below(3) }, () => random.pick(NAMES))].join('/');
}

function put(layer: Record<string, Spec>, path: string, random: Random): void {
  for (let end = path.indexOf('/'); end > 0; end = path.indexOf('/', end + 1)) {
    const parent = path.slice(0, end);
    if (layer[parent] && layer[parent].type !== 'dir') return;
    layer[parent] ??= directory(random);
  }
  if (layer[path]?.type === 'dir') drop(layer, path);
  layer[path] = randomSpec(random, layer);
}

function directory(random: Random): Spec {
  return { type: 'dir', mode: random.pick([0o755, 0o755, 0o700, 0o1777]), uid: 0, seconds: random.below(1000) };
}

function randomSpec(random: Random, layer: Files): Spec {
  const type = random.pick(TYPES);
  if (type === 'dir') return { ...directory(random), ...(random.oneIn(4) && { opaque: true as const }) };
  const common = { type, mode: random.pick([0o644, 0o600, 0o755]), uid: random.pick([0, 0, 7]), seconds: random.below(1000) };
  if (type === 'symlink') return { ...common, mode: 0o777, link: randomTarget(random) };
  if (type !== 'file') return common;
  const others = Object.keys(layer).filter((path) => layer[path]?.type === 'file' && layer[path].sameAs === undefined);
  if (others.length > 0 && random.oneIn(4)) return { ...common, sameAs: random.pick(others) };
  return { ...common, text: randomText(random), ...(random.oneIn(3) && { xattrs: randomAttributes(random) }) };
}

function randomTarget(random: Random): string {
  const way = Array.from({ length: 1 + random.below(2) }, () => random.pick(NAMES)).join('/');
  return `${random.pick(['', '../', '/t/'])}${way}`;
}

const randomText = (random: Random): string =>
  random.pick(['', 'x', 'yy', 'zz', 'four', '#!/bin/wanderer\n', 'long'.repeat(3000)]);

/** An ACL of one user more than the mode says, of version 2 (linux/posix_acl_xattr.h). */
function acl(uid: number): string {
  const entry = (tag: number, rights: number, id: number): number[] => [
    tag,
    0,
    rights,
    0,
    ...(id < 0 ? [255, 255, 255, 255] : [id, 0, 0, 0]),
  ];
  const entries = [entry(1, 6, -1), entry(2, 6, uid), entry(4, 4, -1), entry(16, 6, -1), entry(32, 4, -1)];
  return Buffer.from([2, 0, 0, 0, ...entries.flat()]).toString('base64');
}

function randomAttributes(random: Random): Record<string, string> {
  return random.pick<Record<string, string>>([
    { 'user.a': 'MQ==' },
    { 'user.a': 'Mg==' },
    { 'user.b': 'MQ==' },
    { 'user.a': 'MQ==', 'user.b': '' },
    { 'system.posix_acl_access': acl(7) },
    { 'system.posix_acl_access': acl(8) },
  ]);
}

function drop(layer: Record<string, Spec>, path: string): void {
  for (const name of Object.keys(layer)) {
    const { sameAs = name } = layer[name] as Spec;
    if ([name, sameAs].some((one) => one === path || one.startsWith(`${path}/`))) delete layer[name];
  }
}

/** The layer with something else in it: where a command has looked (`near`), or rather not there. `only`: this change, if there is a place for it. */
export function changed(
  layer: Files,
  root: string,
  random: Random,
  near: readonly string[],
  isNear: boolean,
  only?: Change | 'new',
): Files {
  const copy: Record<string, Spec> = { ...layer };
  const looked = new Set(near);
  const wanted = Object.keys(copy).filter((path) => path !== root && looked.has(path) === isNear);
  const absent = near.filter((path) => path.startsWith(`${root}/`) && !copy[path]);
  if (wanted.length === 0 || only === 'new' || (!only && random.oneIn(5))) {
    put(copy, isNear && absent.length > 0 && random.oneIn(2) ? random.pick(absent) : randomPath(random, root), random);
    return copy;
  }
  const change: Change = only ?? random.pick(Object.keys(changes) as Change[]);
  const fitting = wanted.filter((path) => copy[path]?.sameAs === undefined && changes[change](copy[path] as Spec, random));
  const path = random.pick(fitting.length > 0 ? fitting : wanted);
  const next = fitting.length > 0 ? changes[change](copy[path] as Spec, random) : undefined;
  if (next) copy[path] = next;
  else if (random.oneIn(2)) drop(copy, path);
  else put(copy, path, random);
  return copy;
}

export type Change = keyof typeof changes;

/** Undefined: not of this. */
const changes = {
  text: (spec: Spec, random: Random) => (spec.type === 'file' ? { ...spec, text: randomText(random) } : undefined),
  sameSize: (spec: Spec) => (spec.type === 'file' && spec.text ? { ...spec, text: spec.text.replace(/^./s, '~') } : undefined),
  longer: (spec: Spec) => (spec.type === 'file' && spec.text ? { ...spec, text: `${spec.text}+` } : undefined),
  mode: (spec: Spec) => (spec.type === 'whiteout' ? undefined : { ...spec, mode: spec.mode ^ 0o004 }),
  owner: (spec: Spec) => (spec.type === 'whiteout' ? undefined : { ...spec, uid: 8 }),
  target: (spec: Spec, random: Random) => (spec.type === 'symlink' ? { ...spec, link: randomTarget(random) } : undefined),
  opaque: ({ opaque, ...spec }: Spec) =>
    spec.type === 'dir' ? { ...spec, ...(!opaque && { opaque: true as const }) } : undefined,
  attributes: (spec: Spec, random: Random) => (spec.type === 'file' ? { ...spec, xattrs: randomAttributes(random) } : undefined),
  noAttributes: ({ xattrs, ...spec }: Spec) => (xattrs ? spec : undefined),
  other: () => undefined,
} satisfies Record<string, (spec: Spec, random: Random) => Spec | undefined>;

/** Everything at another time. */
export const touched = (layer: Files): Files =>
  Object.fromEntries(Object.entries(layer).map(([path, spec]) => [path, { ...spec, seconds: spec.seconds + 5000 }]));

export function entriesOf(layer: Files): LayerEntry[] {
  return Object.entries(layer).flatMap(([path, spec]): LayerEntry[] => {
    if (spec.sameAs === undefined) return [{ path, ...entryOf(spec) }];
    const first = layer[spec.sameAs];
    const { text: _, size: __, ...entry } = entryOf(first ?? spec);
    // What it was another name of may have become something else.
    return first?.type === 'file' && first.sameAs === undefined ? [{ path, ...entry, hardlink: spec.sameAs }] : [];
  });
}

function entryOf({ type, mode, uid, text = '', link, opaque, xattrs, seconds }: Spec): Omit<LayerEntry, 'path'> {
  return {
    type,
    mode: type === 'symlink' ? 0o777 : mode,
    uid,
    gid: 0,
    mtime: [1_500_000_000 + seconds, 0],
    ...(link !== undefined && { link }),
    ...(opaque && { opaque }),
    ...(xattrs && { xattrs }),
    ...(type === 'char' && { rdev: [1, mode === 0o644 ? 3 : 5] as const }),
    ...(type === 'file' && { text, size: Buffer.byteLength(text) }),
  };
}
