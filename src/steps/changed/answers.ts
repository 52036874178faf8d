// Which questions of a trace are answered in another way here, in words. The one place that knows what the answers of every kind say
// (docs/cache.md lists them).

import type { Trace } from '../../cache/traces.ts';
import { answer, type View } from '../answers.ts';
import { aspects, type Facts } from './files.ts';

/** `/app/a: content`, `/app appeared`, as the step saw them. `views`: as `Prepared.views`; `mounts`: where those after the root's are mounted. */
export function changedAnswers({ exact, gaps }: Trace, views: readonly (View | null)[], mounts: readonly string[]): string[] {
  const changes = new Map<string, Set<string>>();
  for (const [gap, observations] of gaps.entries()) {
    const view = views[gap];
    if (!observations || !view) continue;
    const place = placeOf(view, gap <= exact.length ? undefined : mounts[gap - exact.length - 1]);
    for (const [kind, question, then] of observations) {
      const now = answer(view, kind, question);
      if (now === then) continue;
      const path = kind === 'X' ? question.slice(0, question.indexOf('\0')) : question;
      const isThere = ['N', 'U', 'M'].includes(kind) || !isAbsent(answer(view, 'N', path));
      for (const [about, change] of describe(kind, question, then, isThere ? now : undefined, place(path)))
        changes.set(about, (changes.get(about) ?? new Set()).add(change));
    }
  }
  return [...changes]
    .filter(([path, change]) => !isInside(path, change, changes))
    .map(([about, change]) => sentence(about, [...change]));
}

/** Whether both have layers that are watched in the same places. */
export function haveSamePlaces({ gaps }: Trace, views: readonly (View | null)[]): boolean {
  return gaps.length === views.length && gaps.every((gap, place) => (gap === null) === (views[place] === null));
}

/** Paths as the step sees them. `target`: of a bind mount, which shows a part of its layers. */
function placeOf({ mounted }: View, target: string | undefined): (path: string) => string {
  if (target === undefined || mounted === undefined) return (path) => `/${path}`;
  const source = mounted.slice(mounted.indexOf(' ') + 1);
  return (path) => {
    if (source === '') return `${target}${path === '' ? '' : `/${path}`}`;
    return path === source || path.startsWith(`${source}/`) ? `${target}${path.slice(source.length)}` : `${target} (/${path})`;
  };
}

/** A whiteout is an answer, too: there is nothing. */
const isAbsent = (answer: string | undefined): boolean => answer !== undefined;

function sentence(about: string, changes: readonly string[]): string {
  const whole = changes.find((change) => change === 'appeared' || change === 'disappeared');
  return whole === undefined ? `${about}: ${[...changes].sort(contentFirst).join(' and ')}` : `${about} ${whole}`;
}

const contentFirst = (a: string, b: string): number => Number(b === 'content') - Number(a === 'content');

function isInside(path: string, change: ReadonlySet<string>, changes: ReadonlyMap<string, ReadonlySet<string>>): boolean {
  const above = changes.get(path.slice(0, path.lastIndexOf('/')));
  return ['appeared', 'disappeared'].some((whole) => change.has(whole) && above?.has(whole) === true);
}

/** What it is about, and what of it changed. `now` undefined: it is not there. */
function describe(kind: string, question: string, then: string, now: string | undefined, path: string): [string, string][] {
  if (kind === 'U') return [[`user ${userIn(question)}`, now === undefined ? 'gone' : `${ids(then)} → ${ids(now)}`]];
  if (kind === 'M') return [[path, `from ${then} → from ${now}`]];
  if (kind === 'N') return [[path, now === undefined ? 'appeared' : 'hidden in another way']];
  if (now === undefined) return [[path, 'disappeared']];
  switch (kind) {
    case 'L':
    case 'S':
      return aspectsOf(then, now).map((aspect) => [path, aspect]);
    case 'R':
      return [[path, `target ${then} → ${now}`]];
    case 'D':
      return listed(then, now, path);
    case 'X':
      return [[path, `extended attribute ${question.slice(question.indexOf('\0') + 1)}`]];
    case 'A':
      return [[path, 'extended attributes']];
    case 'P':
      return [[path, 'extended attributes or whiteouts in it']];
    case 'O':
      return [[path, 'the whole directory']];
    default:
      return [[path, 'content']];
  }
}

/** `file 644 0:0`, and more: a device's number, whether it is empty; of S size and digest, or a link's target. */
function aspectsOf(then: string, now: string): string[] {
  return aspects(factsOf(then), factsOf(now));
}

function factsOf(text: string): Facts {
  const [type = '', mode = '', owner = '', ...rest] = text.split(' ');
  return { type, mode, owner, content: rest.join(' '), xattrs: '', group: '' };
}

/** Names with a letter for their type before them; a long list is a digest. */
function listed(then: string, now: string, path: string): [string, string][] {
  if (then.startsWith('sha256:') || now.startsWith('sha256:')) return [[path, 'the names in it']];
  const names = (text: string) => new Map(text === '' ? [] : text.split('/').map((item) => [item.slice(1), item[0]]));
  const [before, after] = [names(then), names(now)];
  const inside = (name: string) => `${path === '/' ? '' : path}/${name}`;
  return [
    ...[...after.keys()].filter((name) => !before.has(name)).map((name): [string, string] => [inside(name), 'appeared']),
    ...[...before.keys()].filter((name) => !after.has(name)).map((name): [string, string] => [inside(name), 'disappeared']),
    ...[...after]
      .filter(([name, type]) => before.has(name) && before.get(name) !== type)
      .map(([name]): [string, string] => [inside(name), 'another type']),
  ];
}

function userIn(question: string): string {
  const asked = JSON.parse(question) as string | [string, string | null];
  if (typeof asked === 'string') return asked === '' ? 'root' : asked;
  return asked[1] === null ? asked[0] : asked.join(':');
}

/** `uid:gid`, or a list that begins with them. */
function ids(answer: string): string {
  if (!answer.startsWith('[')) return answer;
  const [uid, gid] = JSON.parse(answer) as [number, number];
  return `${uid}:${gid}`;
}
