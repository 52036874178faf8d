// What is different between what a step was told then and is told now, in words. Of values that look like secrets none is shown.

import { canonicalJson } from '../../base/digest.ts';
import type { StepRecord } from '../../cache/traces.ts';

/** Longer values are not shown, nor those of several lines. */
const MAX_SHOWN = 60;

/** BuildKit looks for these words in names (SecretsUsedInArgOrEnv). */
const SECRET = /(?:^|_)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i;

/** Records of the same kind. */
export function changedRecord(then: StepRecord, now: StepRecord): string[] {
  const names = [...new Set([...Object.keys(now), ...Object.keys(then)])];
  return names.flatMap((name) => {
    const [a, b] = [then[name], now[name]];
    return canonicalJson(a ?? null) === canonicalJson(b ?? null) ? [] : changedField(now.kind, name, a, b);
  });
}

function changedField(kind: string, name: string, then: unknown, now: unknown): string[] {
  if (kind === 'run') {
    if (name === 'args') return [pair('command', commandOf(then), commandOf(now)) ?? 'command changed'];
    if (name === 'env') return changedEnv(list(then), list(now));
    if (name === 'mounts') return changedItems('mount', list(then).map(mountName), list(now).map(mountName));
    if (name === 'pipes') return ['heredoc: content'];
    if (name === 'extraHosts') return changedItems('host', list(then), list(now));
    if (name === 'devices') return changedItems('device', list(then), list(now));
  }
  if (kind === 'copy') {
    if (name === 'inline') return changedInline(list(then), list(now));
    if (name === 'paths') return [pair('sources', list(then).join(' '), list(now).join(' ')) ?? 'sources changed'];
    if (name === 'exclude') return changedItems('--exclude', list(then), list(now));
    if (name === 'owner') return [pair('--chown', ownerName(then), ownerName(now)) ?? '--chown changed'];
    if (name === 'mode') return [pair('--chmod', shown(then), shown(now)) ?? '--chmod changed'];
    if (name === 'add') return ['COPY and ADD'];
    if (name === 'fromContext') return ['--from'];
  }
  if (name === 'times') return ['--reproducible'];
  if (typeof then === 'boolean' || typeof now === 'boolean') return [`--${name} ${now === true ? 'is new' : 'is gone'}`];
  const word = words[name] ?? name;
  return [pair(word, shown(then), shown(now)) ?? `${word} changed`];
}

const words: Readonly<Record<string, string>> = {
  path: 'directory',
  workdir: 'directory',
  hostname: 'host name',
  userns: 'user namespace',
};

const list = <T = string>(value: unknown): T[] => (Array.isArray(value) ? (value as T[]) : []);

/** Undefined where one of them is too long to be shown. */
function pair(what: string, then: string, now: string): string | undefined {
  const isShort = (text: string) => text.length <= MAX_SHOWN && !text.includes('\n');
  return isShort(then) && isShort(now) ? `${what} ${then} → ${now}` : undefined;
}

function shown(value: unknown): string {
  if (value === undefined || value === null || value === '') return 'none';
  if (typeof value === 'string') return value;
  if (isPlatform(value)) return [value.os, value.architecture, value.variant].filter(Boolean).join('/');
  return JSON.stringify(value);
}

const isPlatform = (value: unknown): value is { os: string; architecture: string; variant?: string } =>
  typeof value === 'object' && value !== null && 'architecture' in value;

function ownerName(value: unknown): string {
  const owner = value as { user: string; group?: string } | undefined;
  if (!owner) return 'none';
  return owner.group === undefined ? owner.user : `${owner.user}:${owner.group}`;
}

/** Without the shell that every RUN has. */
function commandOf(args: unknown): string {
  const words = list(args);
  const isShell = words.length === 3 && words[0] === '/bin/sh' && words[1] === '-c';
  return `\`${isShell ? words[2] : words.join(' ')}\``;
}

function changedEnv(then: readonly string[], now: readonly string[]): string[] {
  const parse = (pairs: readonly string[]) =>
    new Map(pairs.map((text) => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)] as const));
  const [before, after] = [parse(then), parse(now)];
  const changes = [...new Set([...after.keys(), ...before.keys()])].flatMap((name) => {
    const [a, b] = [before.get(name), after.get(name)];
    if (a === b) return [];
    if (b === undefined) return [`env ${name} disappeared`];
    if (a === undefined) return [`env ${name} appeared`];
    if (SECRET.test(name)) return [`env ${name}: another value`];
    return [pair(`env ${name}:`, quoteEmpty(a), quoteEmpty(b)) ?? `env ${name}: another value`];
  });
  return changes.length > 0 ? changes : ['order of the environment'];
}

const quoteEmpty = (value: string): string => (value === '' ? '""' : value);

function changedItems(what: string, then: readonly string[], now: readonly string[]): string[] {
  const changes = [
    ...now.filter((item) => !then.includes(item)).map((item) => `${what} ${item} appeared`),
    ...then.filter((item) => !now.includes(item)).map((item) => `${what} ${item} disappeared`),
  ];
  return changes.length > 0 ? changes : [`order of ${what}s`];
}

function mountName(mount: unknown): string {
  const { type, ...rest } = mount as { type: string };
  return [['type', type] as const, ...Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1))]
    .filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value) && value !== false && value !== '')
    .map(([name, value]) => `${name}=${name === 'mode' ? Number(value).toString(8) : value}`)
    .join(',');
}

function changedInline(
  then: readonly { name: string; content: string }[],
  now: readonly { name: string; content: string }[],
): string[] {
  const before = new Map(then.map(({ name, content }) => [name, content]));
  const after = new Map(now.map(({ name, content }) => [name, content]));
  return [...new Set([...after.keys(), ...before.keys()])].flatMap((name) => {
    if (!after.has(name)) return [`heredoc ${name} disappeared`];
    if (!before.has(name)) return [`heredoc ${name} appeared`];
    return after.get(name) === before.get(name) ? [] : [`heredoc ${name}: content`];
  });
}
