// What is recorded of an observed command, and where it holds, on layers of descriptions and with observations of the test's own.

import { describe, expect, it } from 'vitest';
import type { Digest } from '../../../src/base/digest.ts';
import type { Trace } from '../../../src/cache/traces.ts';
import type { Observed } from '../../../src/native/with-root.ts';
import type { LayerIndex } from '../../../src/snapshots/layer-index.ts';
import type { MountSource } from '../../../src/steps/mounts.ts';
import { rootLayers, splitInputs, type Told } from '../../../src/steps/run-inputs.ts';
import type { PresentState, State, Workshop } from '../../../src/steps/step.ts';
import { type Described, indexOf } from '../../support/index-file.ts';

type Files = Readonly<Record<string, Described>>;

const indexes = new Map<string, LayerIndex>();
const workshop = {
  layers: {
    index: (id: string) => indexes.get(id),
    indexPath: (id: string) => `${id}.index`,
    lower: ({ id }: { id: string }) => ({ erofs: `${id}.erofs` }),
  },
} as unknown as Workshop;

function layer(files: Files, traced: boolean): PresentState[number] {
  const id = `blake3:${indexes.size}` as Digest;
  indexes.set(id, indexOf(files));
  const tree = `blake3:${JSON.stringify(files)}` as Digest;
  return { id, tree, ...(traced && { traced: true }) } as unknown as PresentState[number];
}
const exact = (files: Files) => layer(files, false);
const traced = (files: Files) => layer(files, true);

const base = exact({ 'bin/sh': { text: '#!' }, 'etc/passwd': { text: 'root:x:0:0::/root:\n' } });
const told: Told = { user: '', paths: ['/', '/app'] };
const split = (state: State, binds: readonly MountSource[] = [], isTraced = true) =>
  splitInputs(workshop, state, binds, isTraced);

function recordOn(state: State, gaps: Observed['gaps'], more: Partial<Observed & Told> = {}): Trace {
  const inputs = split(state);
  const { user = '', paths = told.paths, ...rest } = more;
  const recorded = inputs.gapsOf({ gaps, taint: null, lost: false, ...rest }, { user, paths });
  return { version: 2, exact: inputs.exact, gaps: recorded as Trace['gaps'] };
}

/** Whether what was seen on the files `before` is so on those `after`, each a traced layer on the base. */
function hits(before: Files, after: Files, seen: Observed['gaps'][number], more: Partial<Observed & Told> = {}): boolean {
  const trace = recordOn([base, traced(before)], [seen], more);
  expect(split([base, traced(before)]).matches(trace)).toBe(true);
  return split([base, traced(after)]).matches(trace);
}

const app: Files = {
  'app/package.json': { text: '{}' },
  'app/src/a.ts': { text: 'a' },
  'app/empty': {},
  'app/link': { link: 'src' },
};

describe('a command that read one file', () => {
  const seen = {
    L: ['', 'app', 'app/package.json', 'app/.npmrc'],
    C: ['app/package.json'],
  };
  it.each<[string, Files, boolean]>([
    ['another file has another content', { ...app, 'app/src/a.ts': { text: 'b' } }, true],
    ['a file is new', { ...app, 'app/src/c.ts': { text: 'c' } }, true],
    ['a file is new at the top', { ...app, 'app/README': { text: 'c' } }, true],
    ['everything was touched', { ...app, 'app/package.json': { text: '{}', mtime: 5 }, app: { type: 'dir', mtime: 9 } }, true],
    ['another file is gone', { ...app, 'app/src/a.ts': { type: 'dir' } }, true],
    ['the file has another content', { ...app, 'app/package.json': { text: '{ }' } }, false],
    ['the file has another content of the same size', { ...app, 'app/package.json': { text: '[]' } }, false],
    ['the file has another mode', { ...app, 'app/package.json': { text: '{}', mode: 0o600 } }, false],
    ['the file has another owner', { ...app, 'app/package.json': { text: '{}', owner: [1, 1] } }, false],
    ['the file is a link', { ...app, 'app/package.json': { link: 'src/a.ts' } }, false],
    ['what it did not find is there', { ...app, 'app/.npmrc': {} }, false],
    ['what it did not find is hidden now', { ...app, 'app/.npmrc': { type: 'whiteout' } }, false],
    ['a directory on the way has another mode', { ...app, app: { type: 'dir', mode: 0o700 } }, false],
  ])('%s', (_, after, expected) => {
    expect(hits(app, after, seen)).toBe(expected);
  });
});

describe('every kind of observation', () => {
  const file = (more: Described): Files => ({ ...app, 'app/f': { text: 'text', ...more } });
  const before = file({ xattrs: { 'user.a': 'MQ==', 'user.b': 'Mg==' } });
  it.each<[string, Observed['gaps'][number], Files, Files, boolean]>([
    [
      'P: an attribute of whatever file',
      { P: [''] },
      app,
      { ...app, 'app/g': { text: '', xattrs: { 'user.a': 'MQ==' } } },
      false,
    ],
    ['P: a directory that hides what is below', { P: [''] }, app, { ...app, 'app/new': { type: 'dir', opaque: true } }, false],
    ['P: nothing else', { P: [''] }, file({}), file({ text: 'next', mode: 0o600 }), true],
    ['L: the type', { L: ['app/f'] }, file({}), { ...app, 'app/f': { type: 'fifo' } }, false],
    ['L: that it is empty', { L: ['app/f'] }, file({}), file({ text: '' }), false],
    ['L: not the size', { L: ['app/f'] }, file({}), file({ text: 'longer' }), true],
    ['S: the content in place of the time', { S: ['app/f'] }, file({}), file({ text: 'next' }), false],
    ['S: not the time', { S: ['app/f'] }, file({}), file({ mtime: 1 }), true],
    ['S: where a link leads', { S: ['app/link'] }, app, { ...app, 'app/link': { link: 'srd' } }, false],
    ['S: how many names it has', { S: ['app/f'] }, file({}), { ...file({}), 'app/g': { text: 'text', group: 'app/f' } }, false],
    [
      'S: which names are one file',
      { S: ['app/a', 'app/b', 'app/c', 'app/d'] },
      { 'app/a': {}, 'app/b': { group: 'app/a' }, 'app/c': {}, 'app/d': { group: 'app/c' } },
      { 'app/a': {}, 'app/c': { group: 'app/a' }, 'app/b': {}, 'app/d': { group: 'app/b' } },
      false,
    ],
    ['Z: the size', { Z: ['app/f'] }, file({}), file({ text: 'longer' }), false],
    ['Z: not the content', { Z: ['app/f'] }, file({}), file({ text: 'next' }), true],
    ['R: a link’s target', { R: ['app/link'] }, app, { ...app, 'app/link': { link: 'srd' } }, false],
    ['D: a name more', { D: ['app'] }, app, file({}), false],
    ['D: a name less', { D: ['app'] }, file({}), app, false],
    ['D: another type', { D: ['app'] }, file({}), { ...app, 'app/f': { link: 'a' } }, false],
    ['D: not what is below', { D: ['app'] }, app, { ...app, 'app/src/more': {} }, true],
    ['D: not contents', { D: ['app'] }, file({}), file({ text: 'next', mode: 0o600 }), true],
    ['D: a name that is hidden', { D: ['app'] }, app, { ...app, 'app/x': { type: 'whiteout' } }, false],
    ['C: the content', { C: ['app/f'] }, file({}), file({ text: 'next' }), false],
    ['X: the value', { X: ['app/f\0user.a'] }, before, file({ xattrs: { 'user.a': 'Mw==', 'user.b': 'Mg==' } }), false],
    ['X: not of another', { X: ['app/f\0user.a'] }, before, file({ xattrs: { 'user.a': 'MQ==' } }), true],
    ['X: that there is none', { X: ['app/f\0user.c'] }, before, file({ xattrs: { 'user.c': '' } }), false],
    ['A: any of them', { A: ['app/f'] }, before, file({ xattrs: { 'user.a': 'MQ==' } }), false],
    ['O: that it hides', { O: ['app'] }, app, { ...app, app: { type: 'dir', opaque: true } }, false],
  ])('%s', (_, seen, from, to, expected) => {
    expect(hits(from, to, seen)).toBe(expected);
  });

  it('a listing too long to keep counts as well', () => {
    const many = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`app/${i}`, {}]));
    expect(hits(many, many, { D: ['app'] })).toBe(true);
    expect(hits(many, { ...many, 'app/x': {} }, { D: ['app'] })).toBe(false);
  });

  it('after a taint a look is a look at everything', () => {
    const seen = { L: ['app/f', 'app/none'] };
    expect(hits(file({}), file({ text: 'next' }), seen)).toBe(true);
    expect(hits(file({}), file({ text: 'next' }), seen, { taint: 'FIONREAD' })).toBe(false);
  });
});

describe('what the runner looks up itself', () => {
  it('counts: the working directory and what mounts cover, links on the way', () => {
    const seen = { L: [''] };
    const paths = ['/', '/app/link/deep'];
    expect(hits(app, { ...app, 'app/src/deep': { type: 'dir' } }, seen, { paths })).toBe(false);
    expect(hits(app, { ...app, 'app/link': { link: 'srd' } }, seen, { paths })).toBe(false);
    expect(hits(app, { ...app, 'app/other': {} }, seen, { paths })).toBe(true);
  });

  it('counts: the user by numbers, not the file', () => {
    const users = (text: string): Files => ({ ...app, 'etc/passwd': { text } });
    const before = users('web:x:5:6::/srv:/bin/sh\n');
    expect(hits(before, users('other:x:7:7::/:\nweb:x:5:6::/srv:/bin/false\n'), {}, { user: 'web' })).toBe(true);
    expect(hits(before, users('web:x:5:7::/srv:/bin/sh\n'), {}, { user: 'web' })).toBe(false);
    expect(hits(before, users('web:x:5:6::/home:/bin/sh\n'), {}, { user: 'web' })).toBe(false);
    expect(hits(before, app, {}, { user: 'web' })).toBe(false);
  });
});

describe('layers that take part as a whole', () => {
  const made = exact({ 'app/made': { text: '1' } });
  it('are those that no watched layer answers for: another one is a miss', () => {
    const trace = recordOn([base, traced(app), made], [{ L: ['app'] }]);
    expect(trace.exact).toEqual([base.tree, made.tree]);
    expect(trace.gaps.map((gap) => gap === null)).toEqual([true, false, true]);
    expect(split([base, traced({ ...app, more: {} }), made]).matches(trace)).toBe(true);
    expect(split([base, traced(app), exact({ 'app/made': { text: '2' } })]).matches(trace)).toBe(false);
  });

  it('have their place: what stood before one does not hold behind it', () => {
    const trace = recordOn([base, traced(app), made], [{ L: ['app'] }]);
    expect(split([base, made, traced(app)]).matches(trace)).toBe(false);
    expect(split([base, made]).matches(trace)).toBe(false);
  });

  it('a gap in which nothing was seen is none that is empty', () => {
    const trace = recordOn([base, traced(app)], [{}], { paths: [] });
    expect(split([base, traced({ 'srv/x': {} })]).matches(trace)).toBe(true);
    expect(split([base]).matches(trace)).toBe(false);
    const without: Trace = { version: 2, exact: [base.tree], gaps: [null, null] };
    expect(split([base]).matches(without)).toBe(true);
    expect(split([base, traced(app)]).matches(without)).toBe(false);
  });

  it('how many layers a gap is of does not matter, what they show does', () => {
    const trace = recordOn([base, traced(app)], [{ L: ['app', 'app/src'], D: ['app'], C: ['app/src/a.ts'] }]);
    const { 'app/src/a.ts': source, ...rest } = app;
    expect(split([base, traced(rest), traced({ 'app/src/a.ts': source as Described })]).matches(trace)).toBe(true);
    expect(split([base, traced(rest), traced({ 'app/src/a.ts': { text: 'other' } })]).matches(trace)).toBe(false);
  });

  it('are all, where a command was not watched', () => {
    const state = [base, traced(app)];
    const inputs = split(state, [], false);
    expect(inputs.exact).toEqual(state.map(({ tree }) => tree));
    const trace: Trace = { version: 2, exact: inputs.exact, gaps: inputs.unwatched };
    expect(inputs.matches(trace)).toBe(true);
    // With watching, too: the very same inputs are here.
    expect(split(state).matches(trace)).toBe(true);
    expect(split([base, traced({ ...app, more: {} })]).matches(trace)).toBe(false);
    expect(inputs.matches(recordOn(state, [{ L: ['app'] }]))).toBe(false);
  });
});

describe('bind mounts', () => {
  const bind = (files: Files, path = 'source', type: 'dir' | 'file' = 'dir'): MountSource => ({
    layers: [layer(files, false)],
    path,
    type,
    exact: () => [`blake3:${JSON.stringify(files)}` as Digest],
  });
  const state = [base];
  const source: Files = { 'source/a': { text: 'a' }, 'source/b': { text: 'b' } };
  const inputs = split(state, [bind(source)]);
  const gaps = inputs.gapsOf({ gaps: [{ L: ['source/a'], C: ['source/a'] }], taint: null, lost: false }, told) as Trace['gaps'];
  const trace: Trace = { version: 2, exact: inputs.exact, gaps };

  it('are watched, each for itself', () => {
    expect(gaps.map((gap) => gap === null)).toEqual([true, true, false]);
    expect(split(state, [bind({ ...source, 'source/b': { text: 'c' } })]).matches(trace)).toBe(true);
    expect(split(state, [bind({ ...source, 'source/a': { text: 'c' } })]).matches(trace)).toBe(false);
    expect(split(state, [bind(source, 'elsewhere')]).matches(trace)).toBe(false);
    expect(split(state, [bind(source, 'source', 'file')]).matches(trace)).toBe(false);
  });

  it('are part of what is the very same', () => {
    const same = (binds: MountSource[]) => split(state, binds).same;
    expect(same([bind(source)])).toBe(same([bind(source)]));
    const others = [[], [bind(source, 'elsewhere')], [bind(source, 'source', 'file')], [bind({ ...source, more: {} })]];
    for (const other of others) expect(same(other)).not.toBe(same([bind(source)]));
  });

  it('are told from layers where everything takes part as a whole', () => {
    const one = split([base, exact(app)], [bind(source)], false);
    const whole: Trace = { version: 2, exact: one.whole(), gaps: one.unwatched };
    expect(one.matches(whole)).toBe(true);
    expect(split([base, exact(app), exact(source)], [], false).matches(whole)).toBe(false);
  });
});

describe('what is not known in full is not kept', () => {
  const inputs = split([base, traced(app)]);
  const gapsOf = (gaps: Observed['gaps'], more: Partial<Observed> = {}) =>
    inputs.gapsOf({ gaps, taint: null, lost: false, ...more }, told);

  it('a log that was lost', () => {
    expect(gapsOf([{ L: ['app'] }], { lost: true })).toBeUndefined();
  });
  it('more or fewer gaps than there are', () => {
    expect(gapsOf([])).toBeUndefined();
    expect(gapsOf([{}, {}])).toBeUndefined();
  });
  it('a question that the indexes have no answer to', () => {
    expect(gapsOf([{ C: ['app/none'] }])).toBeUndefined();
    expect(gapsOf([{ R: ['app/src/a.ts'] }])).toBeUndefined();
    expect(gapsOf([{ D: ['app/src/a.ts'] }])).toBeUndefined();
    expect(gapsOf([{ '?': ['app'] }])).toBeUndefined();
  });
  it('more than fifty thousand observations', () => {
    expect(gapsOf([{ L: Array.from({ length: 50_001 }, (_, i) => `app/${i}`) }])).toBeUndefined();
  });
});

describe('what is kept', () => {
  it('says each thing once: a stat says what looks and reads say', () => {
    const path = 'app/package.json';
    const { gaps } = recordOn(
      [base, traced(app)],
      [{ L: [path, 'app'], S: [path], C: [path], Z: [path], X: [`${path}\0user.a`], A: [path] }],
    );
    expect(gaps[1]?.map(([kind, at]) => `${kind} ${at}`)).toEqual(['U ""', 'L ', 'L app', `S ${path}`, `A ${path}`]);
  });
});

describe('the layers for with-root', () => {
  it('adjacent traced ones are one', () => {
    const [a, b, c] = [traced(app), traced(app), traced(app)];
    const index = ({ id }: State[number]) => ({ index: `${id}.index`, erofs: `${id}.erofs` });
    expect(rootLayers(workshop, [a, base, b, c], true)).toEqual([
      { traced: [index(a)] },
      { erofs: `${base.id}.erofs` },
      { traced: [index(b), index(c)] },
    ]);
    expect(rootLayers(workshop, [a, base], false)).toEqual([{ erofs: `${a.id}.erofs` }, { erofs: `${base.id}.erofs` }]);
  });
});
