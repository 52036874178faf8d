// What is different between two sets of files, in words: those that a COPY took then and would take now, or two layers.

import type { LayerIndex } from '../../snapshots/layer-index.ts';

export interface Facts {
  readonly type: string;
  /** Octal digits. */
  readonly mode: string;
  /** Empty: it does not count. */
  readonly owner: string;
  /** A file's digest, a link's target, a device's number. */
  readonly content: string;
  readonly xattrs: string;
  /** Which file it is another name of; empty: none. */
  readonly group: string;
}

export type Files = ReadonlyMap<string, Facts>;

/** What `selectionText` wrote. */
export function readSelection(text: string): Files {
  const files = new Map<string, Facts>();
  const fields = text === '' ? [] : text.split('\0');
  for (let i = 0; i + 6 < fields.length; i += 7) {
    const [path, type, mode, owner, content, xattrs, group] = fields.slice(i, i + 7) as [
      string,
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    files.set(path, { type, mode, owner, content, xattrs, group });
  }
  return files;
}

/** Of what a layer holds below `folder`, by its path from there. */
export function readLayer(index: LayerIndex, folder = ''): Files {
  const files = new Map<string, Facts>();
  for (const entry of index.below(folder)) {
    const { type, mode, uid, gid, rdev, link, digest, xattrs, group, path, implied } = entry;
    if (implied) continue;
    const content = type === 'symlink' ? link : type === 'file' ? digest : rdev.join(':');
    files.set(folder === '' ? path : path.slice(folder.length + 1), {
      type,
      mode: mode.toString(8),
      owner: `${uid}:${gid}`,
      content,
      xattrs: xattrs ? JSON.stringify(xattrs) : '',
      group: group === path ? '' : group,
    });
  }
  return files;
}

/** `src/a.ts: content`, `.npmrc appeared`, in order of their paths; of a directory that came or went nothing inside is said. */
export function changedFiles(then: Files, now: Files): string[] {
  const changes = new Map<string, string>();
  for (const [path, facts] of now) {
    const before = then.get(path);
    if (!before) changes.set(path, 'appeared');
    else if (!isSame(before, facts)) changes.set(path, aspects(before, facts).join(' and '));
  }
  for (const path of then.keys()) if (!now.has(path)) changes.set(path, 'disappeared');
  return [...changes]
    .filter(([path, change]) => !isInside(path, change, changes))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, change]) => `${path === '' ? '.' : path}${isWhole(change) ? ' ' : ': '}${change}`);
}

/** Whether modes that git keeps no account of are all that differs. */
export function areModesForGit(then: Files, now: Files): boolean {
  if (then.size !== now.size) return false;
  const forGit = (facts: Facts): Facts => {
    if (facts.type !== 'file' && facts.type !== 'dir') return facts;
    const isOpen = facts.type === 'dir' || (Number.parseInt(facts.mode, 8) & 0o100) !== 0;
    return { ...facts, mode: isOpen ? '755' : '644' };
  };
  for (const [path, facts] of now) {
    const before = then.get(path);
    if (!before || !isSame(forGit(before), forGit(facts))) return false;
  }
  return true;
}

const kinds = ['type', 'mode', 'owner', 'content', 'xattrs', 'group'] as const;
const isSame = (a: Facts, b: Facts): boolean => kinds.every((kind) => a[kind] === b[kind]);

const isWhole = (change: string): boolean => change === 'appeared' || change === 'disappeared';

function isInside(path: string, change: string, changes: ReadonlyMap<string, string>): boolean {
  return isWhole(change) && path.includes('/') && changes.get(path.slice(0, path.lastIndexOf('/'))) === change;
}

/** What of a thing is not as it was. */
export function aspects(then: Facts, now: Facts): string[] {
  if (then.type !== now.type) return [`${word(then.type)} → ${word(now.type)}`];
  return [
    ...(then.content === now.content ? [] : [now.type === 'symlink' ? `target ${then.content} → ${now.content}` : 'content']),
    ...(then.mode === now.mode ? [] : [`mode ${then.mode} → ${now.mode}`]),
    ...(then.owner === now.owner ? [] : [`owner ${then.owner} → ${now.owner}`]),
    ...(then.xattrs === now.xattrs ? [] : ['extended attributes']),
    ...(then.group === now.group ? [] : ['hard link']),
  ];
}

const words: Readonly<Record<string, string>> = { dir: 'directory', symlink: 'link', char: 'device', block: 'device' };
const word = (type: string): string => words[type] ?? type;
