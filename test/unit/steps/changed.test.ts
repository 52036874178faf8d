// What is said of answers of every kind that are not as they were, of files, and of what a step was told.

import { describe, expect, it } from 'vitest';
import type { Observation, StepRecord, Trace } from '../../../src/cache/traces.ts';
import { differences } from '../../../src/snapshots/differences.ts';
import { gapTree } from '../../../src/snapshots/tree.ts';
import { answer, type View } from '../../../src/steps/answers.ts';
import { changedAnswers, haveSamePlaces } from '../../../src/steps/changed/answers.ts';
import { areModesForGit, changedFiles, readSelection } from '../../../src/steps/changed/files.ts';
import { changedRecord } from '../../../src/steps/changed/record.ts';
import { type Described, indexOf } from '../../support/index-file.ts';

type Files = Readonly<Record<string, Described>>;

function viewOf(files: Files, mounted?: string): View {
  const index = indexOf(files);
  return { tree: gapTree([index]), indexes: [index], root: [index], mounted };
}

/** What is said when the question was answered by `then`, and is by `now`. */
function said(kind: string, path: string, then: Files, now: Files): string[] {
  const observation: Observation = [kind, path, answer(viewOf(then), kind, path) as string];
  const trace: Trace = { version: 2, exact: [], gaps: [[observation]] };
  return changedAnswers(trace, [viewOf(now)], []);
}

describe('answers', () => {
  const file = { 'a/f': { text: 'one', mode: 0o644 } };

  it.each<[string, string, Files, Files, string[]]>([
    ['N', 'a/g', file, { 'a/g': { text: '' } }, ['/a/g appeared']],
    ['N', 'a/g', file, { 'a/g': { type: 'whiteout' } }, ['/a/g: hidden in another way']],
    ['L', 'a/f', file, { 'a/f': { text: 'one', mode: 0o755 } }, ['/a/f: mode 644 → 755']],
    ['L', 'a/f', file, { 'a/f': { text: '', mode: 0o644 } }, ['/a/f: content']],
    ['L', 'a/f', file, { 'a/f': { text: 'one', mode: 0o644, owner: [1, 2] } }, ['/a/f: owner 0:0 → 1:2']],
    ['L', 'a/f', file, { 'a/f': { link: 'x', type: 'symlink' } }, ['/a/f: file → link']],
    ['L', 'a/f', file, {}, ['/a/f disappeared']],
    ['S', 'a/f', file, { 'a/f': { text: 'two', mode: 0o600 } }, ['/a/f: content and mode 644 → 600']],
    ['S', 'a/f', file, { 'a/f': { type: 'whiteout' } }, ['/a/f disappeared']],
    ['Z', 'a/f', file, { 'a/f': { text: 'longer' } }, ['/a/f: content']],
    ['C', 'a/f', file, { 'a/f': { text: 'two' } }, ['/a/f: content']],
    ['R', 'l', { l: { type: 'symlink', link: 'a' } }, { l: { type: 'symlink', link: 'b' } }, ['/l: target a → b']],
    ['R', 'l', { l: { type: 'symlink', link: 'a' } }, { l: { text: 'no link' } }, ['/l disappeared']],
    ['D', 'a', file, { 'a/g': { text: '' } }, ['/a/g appeared', '/a/f disappeared']],
    ['D', 'a', file, { 'a/f': { type: 'dir' } }, ['/a/f: another type']],
    ['D', '', file, { ...file, b: { text: '' } }, ['/b appeared']],
    ['A', 'a', file, { ...file, a: { type: 'dir', xattrs: { 'user.x': 'eQ==' } } }, ['/a: extended attributes']],
    ['X', 'a\0user.x', file, { ...file, a: { type: 'dir', xattrs: { 'user.x': 'eQ==' } } }, ['/a: extended attribute user.x']],
    ['O', 'a', { a: { type: 'dir' } }, { a: { type: 'dir', opaque: true } }, ['/a: the whole directory']],
    ['P', '', file, { ...file, b: { type: 'whiteout' } }, ['/: extended attributes or whiteouts in it']],
    [
      'U',
      '["u",null]',
      { 'etc/passwd': { text: 'u:x:5:6::/:\n' } },
      { 'etc/passwd': { text: 'u:x:7:8::/:\n' } },
      ['user u: 5:6 → 7:8'],
    ],
    ['U', '"u"', { 'etc/passwd': { text: 'u:x:5:6::/:\n' } }, {}, ['user u: gone']],
  ])('%s of %j', (kind, path, then, now, changes) => {
    expect(said(kind, path, then, now)).toEqual(changes);
    expect(said(kind, path, then, then)).toEqual([]);
  });

  it('of bind mounts are named by where they are mounted', () => {
    const then = viewOf({ 'source/a': { text: '1' } }, 'dir source');
    const now = viewOf({ 'source/a': { text: '2' } }, 'dir source');
    const of = (view: View) => [['C', 'source/a', answer(view, 'C', 'source/a') as string] as Observation];
    const trace: Trace = { version: 2, exact: [], gaps: [null, of(then)] };
    expect(changedAnswers(trace, [null, now], ['/c'])).toEqual(['/c/a: content']);
    const moved: Trace = { ...trace, gaps: [null, [['M', '', 'dir source']]] };
    expect(changedAnswers(moved, [null, { ...now, mounted: 'dir lib' }], ['/c'])).toEqual([
      '/c (/): from dir source → from dir lib',
    ]);
    expect(haveSamePlaces(trace, [null, now])).toBe(true);
    expect(haveSamePlaces(trace, [now, now])).toBe(false);
  });
});

describe('files', () => {
  const selection = (...files: string[][]) => readSelection(files.map((fields) => fields.join('\0')).join('\0'));
  const plain = (path: string, mode = '644', content = 'x') => [path, 'file', mode, '', content, '', ''];

  it('are compared by their paths, whatever is in them', () => {
    expect(selection()).toEqual(new Map());
    const odd = plain('new\nline → "quotes"');
    expect(changedFiles(selection(odd), selection(plain(odd[0] as string, '644', 'y')))).toEqual([
      'new\nline → "quotes": content',
    ]);
    expect(
      changedFiles(selection(['', 'dir', '755', '', '0:0', '', '']), selection(['', 'dir', '700', '', '0:0', '', ''])),
    ).toEqual(['.: mode 755 → 700']);
  });

  it('whose modes alone differ may be the same to git', () => {
    expect(areModesForGit(selection(plain('a', '644')), selection(plain('a', '664')))).toBe(true);
    expect(areModesForGit(selection(plain('a', '644')), selection(plain('a', '755')))).toBe(false);
    expect(areModesForGit(selection(plain('a', '644')), selection(plain('a', '664', 'y')))).toBe(false);
    expect(areModesForGit(selection(plain('a')), selection(plain('a'), plain('b')))).toBe(false);
  });
});

describe('records', () => {
  const run = (more: object): StepRecord => ({ version: 1, kind: 'run', args: ['/bin/sh', '-c', 'a'], env: ['A=1'], ...more });
  const copy = (more: object): StepRecord => ({ version: 1, kind: 'copy', paths: ['a'], inline: [], exclude: [], ...more });

  it.each<[StepRecord, StepRecord, string[]]>([
    [run({}), run({ env: ['A=2'] }), ['env A: 1 → 2']],
    [run({}), run({ env: ['A=', 'B=1'] }), ['env A: 1 → ""', 'env B appeared']],
    [run({}), run({ env: [] }), ['env A disappeared']],
    [run({ env: ['A=1', 'B=2'] }), run({ env: ['B=2', 'A=1'] }), ['order of the environment']],
    [run({ env: ['NPM_TOKEN=a'] }), run({ env: ['NPM_TOKEN=b'] }), ['env NPM_TOKEN: another value']],
    [run({}), run({ env: [`A=${'x'.repeat(100)}`] }), ['env A: another value']],
    [run({}), run({ args: ['node', 'x.js'] }), ['command `a` → `node x.js`']],
    [run({}), run({ platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } }), ['platform none → linux/arm64/v8']],
    [run({ pipes: [{ name: 'x', content: '1' }] }), run({ pipes: [{ name: 'x', content: '2' }] }), ['heredoc: content']],
    [run({}), run({ extraHosts: ['h'] }), ['host h appeared']],
    [run({ times: 1 }), run({}), ['--reproducible']],
    [copy({}), copy({ link: true }), ['--link is new']],
    [copy({ add: false }), copy({ add: true }), ['COPY and ADD']],
    [copy({}), copy({ exclude: ['*.md'] }), ['--exclude *.md appeared']],
    [copy({}), copy({ paths: ['a', 'b'] }), ['sources a → a b']],
    [copy({}), copy({ mode: '755' }), ['--chmod none → 755']],
    [copy({ inline: [{ name: 'x', content: '1' }] }), copy({}), ['heredoc x disappeared']],
  ])('%#', (then, now, changes) => {
    expect(changedRecord(then, now)).toEqual(changes);
    expect(changedRecord(now, now)).toEqual([]);
  });
});

describe('differences', () => {
  const base = indexOf({
    'a/x': { text: '1' },
    'a/y': { text: '2' },
    'b/z': { text: '3' },
    link: { type: 'symlink', link: 'a' },
  });
  const text = (top: Files) => differences([base], [base, indexOf(top)]).map(({ kind, path }) => `${kind} ${path}`);

  it('are those of what an overlay shows', () => {
    expect(text({})).toEqual([]);
    expect(text({ 'a/x': { text: '1' } })).toEqual([]);
    expect(text({ 'a/x': { text: 'other' } })).toEqual(['C /a/x']);
    expect(text({ a: { type: 'whiteout' } })).toEqual(['D /a']);
    expect(text({ 'a/y': { type: 'whiteout' }, 'c/d/e': { text: '' } })).toEqual(['D /a/y', 'A /c', 'A /c/d', 'A /c/d/e']);
    expect(text({ a: { type: 'dir', opaque: true }, 'a/new': { text: '' } })).toEqual(['A /a/new', 'D /a/x', 'D /a/y']);
    expect(text({ a: { text: 'a file now' } })).toEqual(['C /a']);
    expect(text({ link: { type: 'dir' }, 'link/in': { text: '' } })).toEqual(['C /link', 'A /link/in']);
  });

  it('of trees with nothing in common are all of both', () => {
    const other = indexOf({ 'b/q': { text: '' } });
    expect(differences([base], [other]).map(({ kind, path }) => `${kind} ${path}`)).toEqual([
      'D /a',
      'A /b/q',
      'D /b/z',
      'D /link',
    ]);
    expect(differences([], [])).toEqual([]);
  });
});
