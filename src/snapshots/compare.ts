// Where two layers differ, times aside: in what their tree digests are made of.

import type { Entry, LayerIndex } from './layer-index.ts';

/** The first path, in order, that is not the same in both, and in what. Undefined: they are equal. */
export function firstDifference(before: LayerIndex, after: LayerIndex): string | undefined {
  const count = Math.max(before.count, after.count);
  for (let position = 0; position < count; position++) {
    const [old, now] = [before, after].map((index) => (position < index.count ? index.at(position) : undefined));
    if (!old || (now && isBefore(now.path, old.path))) return `/${now?.path} is new`;
    if (!now || isBefore(old.path, now.path)) return `/${old.path} is gone`;
    const what = differingPart(old, now);
    if (what !== undefined) return `/${old.path}: ${what}`;
  }
  return undefined;
}

function differingPart(old: Entry, now: Entry): string | undefined {
  const parts: [string, (entry: Entry) => unknown][] = [
    ['type', ({ type }) => type],
    ['content', ({ digest }) => digest],
    ['link target', ({ link }) => link],
    ['mode', ({ mode }) => mode],
    ['owner', ({ uid, gid }) => `${uid}:${gid}`],
    ['device number', ({ rdev }) => rdev.join(':')],
    ['extended attributes', ({ xattrs }) => JSON.stringify(xattrs ?? {})],
    ['hard links', ({ group }) => group],
    ['what it hides', ({ opaque, implied }) => `${opaque} ${implied}`],
  ];
  return parts.find(([, part]) => part(old) !== part(now))?.[0];
}

/** As in an index: by bytes. */
const isBefore = (a: string, b: string): boolean => Buffer.compare(Buffer.from(a), Buffer.from(b)) < 0;
