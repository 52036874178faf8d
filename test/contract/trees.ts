// Contents of layers for the contract: one with everything that a layer can hold, and random ones over few names, so that they meet.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import type { LayerEntry } from '../../src/native/serve.ts';
import type { Sight } from './mounted-stack.ts';

type Case = Omit<LayerEntry, 'uid' | 'gid' | 'mtime'> & Partial<Pick<LayerEntry, 'uid' | 'gid' | 'mtime'>>;

const base64 = (text: string) => Buffer.from(text).toString('base64');
const longName = 'é'.repeat(127);
const deep = Array.from({ length: 40 }, (_, level) => `level-${level}`).join('/');

const cases: readonly Case[] = [
  ...Array.from(
    { length: 40 },
    (_, level): Case => ({
      path: deep
        .split('/')
        .slice(0, level + 1)
        .join('/'),
      type: 'dir',
      mode: 0o755,
    }),
  ),
  { path: `${deep}/bottom`, type: 'file', mode: 0o644, text: 'deep' },
  { path: 'file', type: 'file', mode: 0o640, uid: 1000, gid: 2000, text: 'content\n', mtime: [1_234_567_890, 987_654_321] },
  { path: 'empty', type: 'file', mode: 0o000, text: '' },
  { path: 'setuid', type: 'file', mode: 0o6755, text: 'x', uid: 65_534, gid: 4_000_000_000 },
  { path: 'one-block', type: 'file', mode: 0o644, text: 'b'.repeat(4096) },
  { path: 'block-and-one', type: 'file', mode: 0o644, text: 'b'.repeat(4097) },
  { path: 'large', type: 'file', mode: 0o644, text: 'large content '.repeat(100_000) },
  { path: 'sparse', type: 'file', mode: 0o644, text: `${'\0'.repeat(1 << 20)}end` },
  { path: 'epoch', type: 'file', mode: 0o644, text: '', mtime: [0, 1] },
  { path: 'future', type: 'file', mode: 0o644, text: '', mtime: [4_102_444_800, 999_999_999] },
  { path: 'sticky', type: 'dir', mode: 0o1777, uid: 3, gid: 4 },
  { path: 'closed', type: 'dir', mode: 0o000 },
  { path: 'closed/inside', type: 'file', mode: 0o600, text: 'closed' },
  { path: 'fifo', type: 'fifo', mode: 0o620 },
  { path: 'socket', type: 'socket', mode: 0o755 },
  { path: 'null', type: 'char', mode: 0o666, rdev: [1, 3] },
  { path: 'disk', type: 'block', mode: 0o660, rdev: [259, 70_000], gid: 6 },
  { path: 'absolute', type: 'symlink', mode: 0o777, link: '/etc/../x', uid: 9 },
  { path: 'long-link', type: 'symlink', mode: 0o777, link: `../${'x'.repeat(1000)}/${longName}` },
  { path: 'a-name', type: 'file', mode: 0o644, text: 'linked' },
  { path: 'other-name', type: 'file', mode: 0o644, hardlink: 'a-name' },
  { path: 'sticky/third-name', type: 'file', mode: 0o644, hardlink: 'a-name' },
  { path: 'fifo-too', type: 'fifo', mode: 0o620, hardlink: 'fifo' },
  {
    path: 'capable',
    type: 'file',
    mode: 0o755,
    text: '#!/bin/true\n',
    xattrs: { 'security.capability': Buffer.from('0100000200040000000000000000000000000000', 'hex').toString('base64') },
  },
  {
    path: 'attributed',
    type: 'dir',
    mode: 0o755,
    xattrs: {
      'user.empty': '',
      'user.text': base64('a value\0with a zero'),
      'trusted.mine': base64('t'),
      'user.long': base64('v'.repeat(1500)),
    },
  },
  ...[
    ' ',
    'a b',
    'tab\tnewline\n',
    'quote\'s "and" $HOME `x`',
    'back\\slash',
    '-rf',
    '*?[x]',
    '😀',
    longName,
    '\u0001\u007f',
    '...',
    'ａ',
    'x:y,z=',
  ].map((name): Case => ({ path: `names/${name}`, type: 'file', mode: 0o644, text: name })),
  { path: 'names', type: 'dir', mode: 0o755 },
];

/** Entries, and what a mount must show for them, in order. */
export function everything(): { entries: LayerEntry[]; sights: Sight[] } {
  const entries = cases.map((each): LayerEntry => ({ uid: 0, gid: 0, mtime: [1_700_000_000, 5], ...each }));
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  const paths = [...byPath.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const leadOf = (entry: LayerEntry) => (entry.hardlink === undefined ? entry : (byPath.get(entry.hardlink) as LayerEntry));
  const sights = paths.map((path): Sight => {
    const entry = leadOf(byPath.get(path) as LayerEntry);
    return {
      path,
      type: entry.type,
      mode: entry.mode.toString(8),
      owner: `${entry.uid}:${entry.gid}`,
      mtime: `${entry.mtime[0]}.${String(entry.mtime[1]).padStart(9, '0')}`,
      content: contentOf(entry),
      sameAs: paths.find((other) => leadOf(byPath.get(other) as LayerEntry) === entry) as string,
      xattrs: entry.xattrs ?? {},
    };
  });
  return { entries, sights };
}

function contentOf({ type, text = '', link = '', rdev = [0, 0] }: LayerEntry): string {
  if (type === 'file') return `${Buffer.byteLength(text)} ${createHash('sha256').update(text).digest('hex')}`;
  if (type === 'symlink') return link;
  return type === 'char' || type === 'block' ? rdev.join(',') : '';
}

const names = ['a', 'b', 'c'];
const paths = names.flatMap((a) => [a, ...names.flatMap((b) => [`${a}/${b}`, ...names.map((c) => `${a}/${b}/${c}`)])]);
const kinds = ['dir', 'dir', 'dir', 'opaque', 'file', 'symlink', 'whiteout', 'whiteout'] as const;

/** Paths in order, each with a kind; what would be below something that is no directory is left out. */
export const randomLayer: fc.Arbitrary<LayerEntry[]> = fc
  .tuple(
    fc.subarray(paths, { maxLength: 12 }),
    fc.array(fc.constantFrom(...kinds), { minLength: 12, maxLength: 12 }),
    fc.nat(999),
  )
  .map(([chosen, kindsOf, salt]) => {
    const entries = new Map<string, LayerEntry>();
    for (const [position, path] of chosen.sort().entries()) {
      const blocked = [...entries.values()].some((entry) => entry.type !== 'dir' && path.startsWith(`${entry.path}/`));
      if (!blocked) entries.set(path, entryOf(path, kindsOf[position] ?? 'dir', salt));
    }
    return [...entries.values()];
  });

function entryOf(path: string, kind: (typeof kinds)[number], salt: number): LayerEntry {
  const common = { path, uid: salt, gid: 0, mtime: [1_600_000_000 + salt, salt] as const };
  if (kind === 'file') return { ...common, type: 'file', mode: 0o644, text: `${path} ${salt}` };
  if (kind === 'symlink') return { ...common, type: 'symlink', mode: 0o777, link: path };
  if (kind === 'whiteout') return { ...common, type: 'whiteout', mode: 0 };
  return { ...common, type: 'dir', mode: 0o700, ...(kind === 'opaque' ? { opaque: true as const } : {}) };
}
