// `RUN --mount=type=…,target=…`: one CSV record of options (BuildKit: instructions/commands_runmount.go).
// Read twice: when the file is parsed only what no variable can change, and again when variables are known.

import { parseBool } from '../base/parse-bool.ts';
import { readRecord } from './csv.ts';
import { dockerfileError, type Span, setPart, within } from './errors.ts';
import { quote } from './go-text.ts';
import { suggestion } from './suggest.ts';

export type MountType = 'bind' | 'cache' | 'tmpfs' | 'secret' | 'ssh';
export type Sharing = 'shared' | 'private' | 'locked';

export interface MountOptions {
  readonly type: MountType;
  readonly from: string;
  readonly source: string;
  readonly target: string;
  readonly readonly: boolean;
  readonly id: string;
  readonly sharing: Sharing | undefined;
  readonly required: boolean;
  readonly sizeBytes: number | undefined;
  readonly env: string | undefined;
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

type Draft = { -readonly [Key in keyof MountOptions]: MountOptions[Key] } & { isReadonlyGiven: boolean };

const types: readonly MountType[] = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'];
const sharings: readonly Sharing[] = ['shared', 'private', 'locked'];
const keys =
  'type from source target readonly id sharing required size mode uid gid src dst destination ro rw readwrite env'.split(' ');

/** The stage, image or context that a mount names; empty for none. It takes no variables, so it is known at once. */
export function readMountSource(value: string): string {
  let from = '';
  for (const { key, text, span } of readFields(value)) {
    if (key !== 'from' || text === undefined) continue;
    if (/\$./s.test(text)) {
      throw setPart(wrong("'from' doesn't support variable expansion, define alias stage instead"), span);
    }
    from = text;
  }
  return from;
}

/** Where in `value` the option `key` stands; everything where it does not. */
export function mountOption(value: string, key: string): Span {
  return readFields(value).findLast((field) => field.key === key)?.span ?? { start: 0, end: value.length };
}

export function parseMount(value: string, expandWord: (word: string) => string): MountOptions {
  const mount: Draft = {
    type: 'bind',
    from: '',
    source: '',
    target: '',
    readonly: false,
    id: '',
    sharing: undefined,
    required: false,
    sizeBytes: undefined,
    env: undefined,
    mode: undefined,
    uid: undefined,
    gid: undefined,
    isReadonlyGiven: false,
  };
  for (const { key, text, field, span } of readFields(value)) {
    within(span, () => {
      const start = key.length + 1;
      const read = text === undefined ? undefined : within({ start, end: start + text.length }, () => expandWord(text));
      setOption(mount, key, read, field);
    });
  }
  const { isReadonlyGiven, ...options } = mount;
  checkCombination(options);
  return { ...options, readonly: isReadonlyGiven ? options.readonly : options.type !== 'cache' && options.type !== 'tmpfs' };
}

function setOption(mount: Draft, key: string, value: string | undefined, field: string): void {
  switch (key) {
    case 'ro':
    case 'readonly':
      mount.readonly = booleanOf(key, value ?? 'true');
      mount.isReadonlyGiven = true;
      return;
    case 'rw':
    case 'readwrite':
      mount.readonly = !booleanOf(key, value ?? 'true');
      mount.isReadonlyGiven = true;
      return;
    case 'required':
      if (mount.type !== 'secret' && mount.type !== 'ssh') throw unexpected(key, mount.type);
      mount.required = booleanOf(key, value ?? 'true');
      return;
  }
  if (value === undefined) throw wrong(`invalid field '${field}' must be a key=value pair`);
  switch (key) {
    case 'type':
      mount.type = oneOf(types, value, 'mount type');
      return;
    case 'from':
      mount.from = value;
      return;
    case 'source':
    case 'src':
      mount.source = value;
      return;
    case 'target':
    case 'dst':
    case 'destination':
      mount.target = value;
      return;
    case 'id':
      mount.id = value;
      return;
    case 'sharing':
      mount.sharing = oneOf(sharings, value, 'sharing value');
      return;
    case 'size':
      if (mount.type !== 'tmpfs') throw unexpected(key, mount.type);
      mount.sizeBytes = readSize(value);
      return;
    case 'env':
      mount.env = value;
      return;
    case 'mode':
      mount.mode = readNumber(key, value, 8);
      return;
    case 'uid':
    case 'gid':
      mount[key] = readNumber(key, value, 10);
      return;
    default:
      throw wrong(`unexpected key '${key}' in '${field}'${suggestion(key, keys)}`);
  }
}

function checkCombination(mount: MountOptions): void {
  const { type } = mount;
  if (type === 'bind' || type === 'tmpfs') {
    for (const key of ['mode', 'uid', 'gid'] as const) {
      if (mount[key] !== undefined) throw wrong(`${key} not allowed for "${type}" type mounts`);
    }
  }
  if (type === 'secret') {
    if (mount.from !== '') throw wrong('secret mount should not have a from');
    if (mount.sharing !== undefined) throw wrong('secret mount should not define sharing');
    if (mount.source === '' && mount.target === '' && mount.id === '') {
      throw wrong('invalid secret mount. one of source, target required');
    }
    if (mount.source !== '' && mount.id !== '') throw wrong("both source and id can't be set");
  }
  if (mount.sharing !== undefined && type !== 'cache') throw wrong(`invalid cache sharing set for ${type} mount`);
}

interface Field {
  readonly key: string;
  readonly text: string | undefined;
  readonly field: string;
  /** Where in the record it stands. */
  readonly span: Span;
}

/** One CSV record of `key=value` or `key`. */
function readFields(value: string): Field[] {
  const fields = readRecord(value, () => wrong(`failed to parse csv mounts: stray or missing quote in ${quote(value)}`));
  return fields.map(({ text: field, span }) => {
    const equals = field.indexOf('=');
    if (equals < 0) return { key: field.toLowerCase(), text: undefined, field, span };
    return { key: field.slice(0, equals).toLowerCase(), text: field.slice(equals + 1), field, span };
  });
}

function oneOf<T extends string>(known: readonly T[], value: string, what: string): T {
  const found = known.find((word) => word === value.toLowerCase());
  if (found === undefined) throw wrong(`unsupported ${what} "${value}"${suggestion(value, known)}`);
  return found;
}

function booleanOf(key: string, value: string): boolean {
  const given = parseBool(value);
  if (given === undefined) throw wrong(`invalid value for ${key}: ${value}`);
  return given;
}

function readNumber(key: string, value: string, base: 8 | 10): number {
  const isValid = (base === 8 ? /^[0-7]+$/ : /^[0-9]+$/).test(value);
  const number = isValid ? Number.parseInt(value, base) : Number.NaN;
  if (!(number <= 0xffff_ffff)) throw wrong(`invalid value ${value} for ${key}`);
  return number;
}

/** `64m`, `1.5GiB`: powers of 1024 (docker/go-units RAMInBytes). */
function readSize(value: string): number {
  const match = /^(?<number>\d+(?:\.\d+)?) ?(?<unit>[kmgtp]?)(?:i?b)?$/i.exec(value);
  if (match?.groups === undefined) throw wrong(`invalid value for size: ${value}`);
  return Math.floor(Number(match.groups.number) * 1024 ** ' kmgtp'.indexOf(match.groups.unit!.toLowerCase() || ' '));
}

const unexpected = (key: string, type: MountType) => wrong(`unexpected key '${key}' for mount type '${type}'`);
const wrong = (message: string) => dockerfileError('mount', message);
