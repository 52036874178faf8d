// --volume, --mount, --tmpfs and --volumes-from, read and refused as docker does (moby: volume/mounts/linux_parser.go, validate.go; docker/cli: opts/mount.go).

import { statSync } from 'node:fs';
import { posix, resolve } from 'node:path';
import { parseBool } from '../../base/parse-bool.ts';
import { readSize } from '../../base/size.ts';
import type { CreateOptions, RequestedMount } from '../../containers/create-options.ts';
import { readRecord } from '../../dockerfile/csv.ts';
import { badArgument, badValue } from './bad-argument.ts';

export function parseMounts(flags: {
  readonly volume: readonly string[];
  readonly mount: readonly string[];
  readonly tmpfs: readonly string[];
}): RequestedMount[] {
  const mounts = [...flags.volume.map(parseVolume), ...flags.mount.map(parseMount), ...flags.tmpfs.map(parseTmpfs)];
  const targets = new Set<string>();
  for (const { target } of mounts) {
    if (targets.has(target)) throw badValue(`duplicate mount point: ${target}`);
    targets.add(target);
  }
  return mounts;
}

/** `TARGET`, `SOURCE:TARGET` or `SOURCE:TARGET:OPTIONS`. */
export function parseVolume(text: string): RequestedMount {
  const parts = text.split(':');
  const spec = (why = '') =>
    badValue(`invalid volume specification: '${text}'${why && `: ${why}`}`, 'the form is SOURCE:TARGET[:ro]');
  const [target, mode] = parts.length === 1 ? [text, ''] : [parts[1] as string, parts[2] ?? ''];
  const source = parts.length === 1 ? '' : (parts[0] as string);
  if (parts.length > 3 || parts.includes('') || (parts.length === 2 && isMode(target))) throw spec();
  if (!isMode(mode)) throw badValue(`invalid mode: ${mode}`);
  const words = mode.split(',');
  const readonly = words.includes('ro');
  const propagation = words.find((word) => PROPAGATIONS.includes(word)) ?? '';
  const isBind = /^[./]/.test(source);
  const clean = targetPath(isBind ? 'bind' : 'volume', target, (why) => spec(why));
  if (isBind) return { ...BIND, source: resolve(source), target: clean, readonly, propagation, makesSource: true };
  if (propagation !== '') throw spec(`invalid mount config for type "volume": field BindOptions must not be specified`);
  return volume({ name: source, target: clean, readonly, noCopy: words.includes('nocopy') });
}

const BIND = { type: 'bind', nonRecursive: false, propagation: '', makesSource: false } as const;

const PROPAGATIONS = ['private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared'];

/** At most one of each kind; SELinux's labels and what Docker Desktop makes of consistency mean nothing here. */
const MODES = [['ro', 'rw'], PROPAGATIONS, ['z', 'Z'], ['nocopy'], ['consistent', 'cached', 'delegated']];

function isMode(mode: string): boolean {
  const words = mode === '' ? [] : mode.split(',');
  return (
    words.every((word) => MODES.some((kind) => kind.includes(word))) &&
    MODES.every((kind) => kind.filter((word) => words.includes(word)).length < 2)
  );
}

interface VolumeParts {
  readonly name: string;
  readonly target: string;
  readonly readonly: boolean;
  readonly noCopy: boolean;
  readonly subpath?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

function volume({ name, ...parts }: VolumeParts): RequestedMount {
  if (name !== '' && !/^[a-zA-Z0-9][\w.-]+$/.test(name)) {
    throw badValue(
      `create ${name}: "${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed`,
      'if you intended to pass a host directory, use absolute path',
    );
  }
  return { type: 'volume', name, isAnonymous: name === '', ...parts };
}

function targetPath(type: string, target: string, refuse: (why: string) => Error): string {
  const why = `invalid mount config for type "${type}": invalid`;
  if (!target.startsWith('/')) throw refuse(`${why} mount path: '${target}' mount path must be absolute`);
  const clean = posix.resolve(target);
  if (clean === '/') throw refuse(`${why} specification: destination can't be '/'`);
  return clean;
}

/** `TARGET[:OPTIONS]` */
export function parseTmpfs(text: string): RequestedMount {
  const at = text.indexOf(':');
  const [target, options] = at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
  const words = options === '' ? [] : options.split(',');
  for (const word of words) {
    if (!isTmpfsOption(word)) throw badValue(`invalid tmpfs option ${JSON.stringify(word)}`);
  }
  return { type: 'tmpfs', target: targetPath('tmpfs', target, badValue), options: words };
}

const TMPFS_FLAGS =
  'ro rw suid nosuid dev nodev exec noexec sync async dirsync atime noatime diratime nodiratime relatime norelatime strictatime nostrictatime private rprivate slave rslave shared rshared unbindable runbindable'.split(
    ' ',
  );

function isTmpfsOption(word: string): boolean {
  return (
    TMPFS_FLAGS.includes(word) ||
    /^(?:size=\d+[kmgKMG%]?|mode=0?[0-7]{1,4}|(?:uid|gid|nr_inodes|nr_blocks)=\d+[kmgKMG]?|mpol=[\w:=,-]+)$/.test(word)
  );
}

/** Keys that say something of one type only. */
const OF_TYPE: readonly (readonly [prefix: string, type: string])[] = [
  ['bind-', 'bind'],
  ['volume-', 'volume'],
  ['tmpfs-', 'tmpfs'],
];

/** `type=bind,source=/a,target=/b,readonly` */
export function parseMount(text: string): RequestedMount {
  const bad = (why: string) => badArgument('--mount', text, why);
  const fields = readRecord(text, (field) => bad(`a stray quote in field ${field}`)).map((field) => field.text);
  const { values, lists } = readFields(fields, bad);
  const type = values.get('type')?.toLowerCase() ?? 'volume';
  const target = values.get('target') ?? '';
  if (type === '') throw bad('type is required');
  if (target === '') throw bad('target is required');
  for (const key of [...values.keys(), ...lists.keys()]) {
    const own = OF_TYPE.find(([prefix]) => key.startsWith(prefix));
    if (own && own[1] !== type) throw bad(`cannot mix '${own[0]}*' options with mount type '${type}'`);
  }
  const invalid = (why: string) => badValue(`invalid mount config for type "${type}": ${why}`);
  const clean = targetPath(type, target, badValue);
  const source = values.get('source') ?? '';
  const readonly = values.get('readonly') === 'true';
  switch (type) {
    case 'bind':
      return bindMount(source, clean, readonly, values, invalid);
    case 'volume':
      return volumeMount(source, clean, readonly, values, pairs(lists.get('volume-label') ?? []), invalid);
    case 'tmpfs': {
      if (source !== '') throw invalid('field Source must not be specified');
      const [size, mode] = [values.get('tmpfs-size'), values.get('tmpfs-mode')];
      return {
        type,
        target: clean,
        options: [...(readonly ? ['ro'] : []), ...(size ? [`size=${size}`] : []), ...(mode ? [`mode=${mode}`] : [])],
      };
    }
    case 'image':
      if (source === '') throw invalid('field Source must not be empty');
      return { type, image: source, target: clean };
    default:
      throw badValue(`mount type unknown: "${type}"`);
  }
}

type Values = ReadonlyMap<string, string>;

function bindMount(
  source: string,
  target: string,
  readonly: boolean,
  values: Values,
  invalid: (why: string) => Error,
): RequestedMount {
  if (source === '') throw invalid('field Source must not be empty');
  if (!source.startsWith('/')) throw invalid(`invalid mount path: '${source}' mount path must be absolute`);
  const makesSource = values.get('bind-create-src') === 'true';
  if (!makesSource && !statSync(source, { throwIfNoEntry: false })) throw invalid(`bind source path does not exist: ${source}`);
  const propagation = values.get('bind-propagation') ?? '';
  if (propagation !== '' && !PROPAGATIONS.includes(propagation)) throw invalid(`invalid propagation mode: ${propagation}`);
  const recursive = values.get('bind-recursive') ?? 'enabled';
  if (!['enabled', 'disabled', 'writable', 'readonly'].includes(recursive))
    throw invalid(`invalid value for bind-recursive: ${recursive} (must be "enabled", "disabled", "writable", or "readonly")`);
  if (recursive === 'readonly' && propagation !== 'rprivate')
    throw invalid(`option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction`);
  if ((recursive === 'readonly' || recursive === 'writable') && !readonly)
    throw invalid(`option 'bind-recursive=${recursive}' requires 'readonly' to be specified in conjunction`);
  const nonRecursive = recursive === 'disabled' || values.get('bind-nonrecursive') === 'true';
  return {
    ...BIND,
    source: posix.resolve(source),
    target,
    readonly,
    propagation,
    nonRecursive,
    makesSource,
    ...(recursive === 'writable' && { isWritableBelow: true }),
  };
}

function volumeMount(
  name: string,
  target: string,
  readonly: boolean,
  values: Values,
  labels: Readonly<Record<string, string>>,
  invalid: (why: string) => Error,
): RequestedMount {
  const driver = values.get('volume-driver') ?? '';
  if (driver !== '' && driver !== 'local')
    throw invalid(`there is no volume driver "${driver}": volumes are directories of this machine ("local")`);
  const subpath = values.get('volume-subpath') ?? '';
  if (subpath !== '' && name === '') throw invalid('must not set Subpath when using anonymous volumes');
  if (subpath.startsWith('/') || subpath.split('/').includes('..'))
    throw invalid(`subpath must be a relative path within the volume: ${subpath}`);
  const noCopy = values.get('volume-nocopy') === 'true';
  const hasLabels = Object.keys(labels).length > 0;
  return volume({ name, target, readonly, noCopy, ...(subpath !== '' && { subpath }), ...(hasLabels && { labels }) });
}

const pairs = (texts: readonly string[]) =>
  Object.fromEntries(
    texts.map((text) => text.split(/=(.*)/s)).flatMap(([name = '', value = '']) => (name === '' ? [] : [[name, value]])),
  );

const SHORT_NAMES: Readonly<Record<string, string>> = { src: 'source', dst: 'target', destination: 'target', ro: 'readonly' };

/** May stand without a value. */
const SWITCHES = ['readonly', 'volume-nocopy', 'bind-nonrecursive', 'bind-create-src'];

const TEXTS = [
  'type',
  'source',
  'target',
  'bind-propagation',
  'bind-recursive',
  'volume-driver',
  'volume-subpath',
  'consistency',
];

const LISTS = ['volume-label', 'volume-opt'];

/** Later ones win; under their long names. */
function readFields(
  fields: readonly string[],
  bad: (why: string) => Error,
): { values: Values; lists: ReadonlyMap<string, string[]> } {
  const values = new Map<string, string>();
  const lists = new Map<string, string[]>();
  for (const field of fields) {
    const at = field.indexOf('=');
    const written = at < 0 ? field : field.slice(0, at);
    const key = SHORT_NAMES[written] ?? written;
    const value = at < 0 ? undefined : field.slice(at + 1);
    if (value === undefined) {
      if (!SWITCHES.includes(key)) throw bad(`invalid field '${field}' must be a key=value pair`);
      values.set(key, 'true');
    } else if (LISTS.includes(key)) lists.set(key, [...(lists.get(key) ?? []), value]);
    else values.set(key, readValue(written, key, field, value, bad));
  }
  if (lists.has('volume-opt'))
    throw bad('volumes of the driver "local" take no volume-opt here: name a directory with type=bind');
  return { values, lists };
}

function readValue(written: string, key: string, field: string, value: string, bad: (why: string) => Error): string {
  const invalid = () => bad(`invalid value for ${written}: ${value}`);
  if (TEXTS.includes(key)) return key === 'source' && /^\.(?:\/|$)/.test(value) ? resolve(value) : value;
  if (SWITCHES.includes(key)) {
    const isOn = parseBool(value);
    if (isOn === undefined) throw invalid();
    return String(isOn);
  }
  if (key === 'tmpfs-size') {
    const sizeBytes = readSize(value);
    if (sizeBytes === undefined) throw invalid();
    return sizeBytes === 0 ? '' : String(sizeBytes);
  }
  if (key === 'tmpfs-mode') {
    if (!/^0?[0-7]{1,4}$/.test(value)) throw invalid();
    return value;
  }
  throw bad(`unexpected key '${written}' in '${field}'`);
}

/** `CONTAINER[:ro|rw|z|Z]` */
export function parseVolumesFrom(text: string): CreateOptions['volumesFrom'][number] {
  const at = text.indexOf(':');
  const [container, mode] = at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
  if (container === '') throw badValue('volumes-from: no container is named');
  if (!isMode(mode) || mode.includes('nocopy') || PROPAGATIONS.some((word) => mode.split(',').includes(word)))
    throw badValue(`invalid mode for volumes-from: ${mode}`);
  return { container, readonly: mode.split(',').includes('ro') };
}
