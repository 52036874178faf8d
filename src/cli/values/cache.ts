// `--cache-from` and `--cache-to`, in buildx's words (its docs, "Cache storage backends"). What says how BuildKit lays its caches out is taken and means
// nothing here: every cache has one form. Loaded only when one of them is given.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { TbuildError } from '../../base/errors.ts';
import { parseBool } from '../../base/parse-bool.ts';
import type { CacheDestination, CacheSource, KeyText, RemoteCacheOptions } from '../../build/remote-cache.ts';
import type { Compression } from '../../oci/descriptor.ts';
import { formatReference, parseReference } from '../../oci/reference.ts';
import type { CacheAddress } from '../../snapshots/absent-data.ts';
import { nearest } from '../nearest.ts';
import type { Environment } from '../surroundings.ts';
import { parseBytes } from './build-run.ts';
import { checkKeys, parseKeyValues } from './key.ts';

type Values = ReadonlyMap<string, string>;

interface CacheFlags {
  readonly 'cache-from': readonly string[];
  readonly 'cache-to': readonly string[];
}

export function readCaches(flags: CacheFlags, env: Environment): RemoteCacheOptions {
  const texts = (name: keyof CacheFlags) => flags[name].filter((text) => text !== '');
  return {
    from: texts('cache-from').map((text) => parseSource(text, env)),
    to: texts('cache-to').map((text) => parseDestination(text, env)),
  };
}

const typeKeys: Readonly<Record<string, readonly string[]>> = {
  registry: ['ref'],
  local: ['src', 'dest'],
  s3: ['bucket', 'region', 'prefix', 'endpoint_url', 'use_path_style', 'access_key_id', 'secret_access_key', 'session_token'],
  gha: ['scope', 'url', 'url_v2', 'token'],
  inline: [],
};
const ownKeys = [
  'type',
  'mode',
  'compression',
  'compression-level',
  'ignore-error',
  'public-key',
  'signing-key',
  'mounts',
  'mounts-max',
];
/** Of BuildKit's form of a cache. */
const idleKeys = [
  'force-compression',
  'oci-mediatypes',
  'image-manifest',
  'tag',
  'digest',
  'reset',
  'timeout',
  'version',
  'repository',
  'ghtoken',
  'name',
  'blobs_prefix',
  'manifests_prefix',
  'touch_refresh',
  'upload_parallelism',
  'retry_mode',
  'retry_max_attempts',
];

/** buildx: a text that is no list of pairs is a reference. */
function parseValues(flag: string, text: string): Values {
  if (!/[=,]/.test(text))
    return new Map([
      ['type', 'registry'],
      ['ref', text],
    ]);
  const values = parseKeyValues(flag, text);
  const type = values.get('type');
  const keys = typeKeys[type ?? ''];
  if (keys) {
    checkKeys(flag, values, [...ownKeys, ...keys, ...idleKeys]);
    return values;
  }
  if (type === 'azblob') throw new TbuildError('unsupported/cache', `${flag} does not support type=azblob`);
  if (type === undefined)
    throw new TbuildError('usage/missing-value', `${flag} needs a type, as in type=registry,ref=REPOSITORY`);
  const meant = nearest(type, Object.keys(typeKeys));
  throw new TbuildError('usage/bad-value', `${flag} knows no type "${type}"`, {
    hint: meant ? `did you mean type=${meant}?` : `it knows ${Object.keys(typeKeys).join(', ')}`,
  });
}

function parseSource(text: string, env: Environment): CacheSource {
  const values = parseValues('--cache-from', text);
  if (values.get('type') === 'inline')
    throw new TbuildError('usage/bad-value', 'an inline cache is read by the image that it is beside: type=registry,ref=IMAGE');
  const publicKey = readKey('--cache-from', values, 'public-key', env);
  return { address: addressOf('--cache-from', values, 'src', env), ...(publicKey && { publicKey }) };
}

function parseDestination(text: string, env: Environment): CacheDestination {
  const flag = '--cache-to';
  const values = parseValues(flag, text);
  const isInline = values.get('type') === 'inline';
  const mode = values.get('mode') ?? 'min';
  if (mode !== 'min' && mode !== 'max') throw new TbuildError('usage/bad-value', `mode in ${flag} is min or max, not "${mode}"`);
  const signingKey = readKey(flag, values, 'signing-key', env);
  return {
    address: isInline ? 'inline' : addressOf(flag, values, 'dest', env),
    mode: isInline ? 'min' : mode,
    ignoresErrors: readBoolean(flag, values, 'ignore-error') ?? false,
    ...compressionOf(flag, values),
    ...mountsOf(values),
    ...(signingKey && { signingKey }),
  };
}

function addressOf(flag: string, values: Values, folderKey: 'src' | 'dest', env: Environment): CacheAddress {
  switch (values.get('type')) {
    case 'registry':
      return { type: 'registry', repository: repositoryOf(needed(flag, values, 'ref')) };
    case 'local':
      return { type: 'local', directory: resolve(needed(flag, values, folderKey)) };
    case 's3':
      return s3Address(flag, values, env);
    default:
      return ghaAddress(flag, values, env);
  }
}

/** The repository is the cache: entries have tags of their own, whatever tag is written. */
function repositoryOf(ref: string): string {
  const { domain, path } = parseReference(ref);
  return formatReference({ domain, path });
}

function s3Address(flag: string, values: Values, env: Environment): CacheAddress {
  const bucket = values.get('bucket') ?? env.AWS_BUCKET ?? needed(flag, values, 'bucket');
  const region = values.get('region') ?? env.AWS_REGION ?? needed(flag, values, 'region');
  const endpoint = values.get('endpoint_url');
  if (endpoint !== undefined && !/^https?:\/\/[^/]/.test(endpoint))
    throw new TbuildError('usage/bad-value', `endpoint_url in ${flag} is an http or https URL, not "${endpoint}"`);
  for (const key of ['access_key_id', 'secret_access_key', 'session_token'])
    if (values.has(key))
      throw new TbuildError('unsupported/cache', `${flag} does not take ${key}: a command line is no place for secrets`, {
        hint: 'AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN are read from the environment',
      });
  const prefix = values.get('prefix') ?? '';
  return {
    type: 's3',
    bucket,
    region,
    prefix: prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`,
    isPathStyle: readBoolean(flag, values, 'use_path_style') ?? endpoint !== undefined,
    ...(endpoint !== undefined && { endpoint: endpoint.replace(/\/+$/, '') }),
  };
}

function ghaAddress(flag: string, values: Values, env: Environment): CacheAddress {
  const url = values.get('url_v2') ?? values.get('url') ?? env.ACTIONS_RESULTS_URL;
  if (!url)
    throw new TbuildError('usage/missing-value', `${flag} type=gha needs ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN`, {
      hint: 'they are there for actions, and for a run: step when an action (crazy-max/ghaction-github-runtime) has passed them on',
    });
  if (values.has('token'))
    throw new TbuildError('unsupported/cache', `${flag} does not take token: a command line is no place for secrets`, {
      hint: 'ACTIONS_RUNTIME_TOKEN is read from the environment',
    });
  return { type: 'gha', url, scope: values.get('scope') || 'tbuild' };
}

function needed(flag: string, values: Values, key: string): string {
  const value = values.get(key);
  if (value) return value;
  throw new TbuildError('usage/missing-value', `${flag} type=${values.get('type')} needs ${key}=`);
}

function readBoolean(flag: string, values: Values, key: string): boolean | undefined {
  const text = values.get(key);
  const value = text === undefined ? undefined : parseBool(text);
  if (text === undefined || value !== undefined) return value;
  throw new TbuildError('usage/bad-value', `${key} in ${flag} is true or false, not "${text}"`);
}

function compressionOf(flag: string, values: Values): { compression?: Compression; level?: number } {
  const text = values.get('compression');
  if (text !== undefined && !['gzip', 'zstd', 'uncompressed'].includes(text))
    throw new TbuildError('usage/bad-value', `compression in ${flag} is gzip, zstd or uncompressed, not "${text}"`);
  const level = values.get('compression-level');
  if (level !== undefined && !/^\d{1,2}$/.test(level))
    throw new TbuildError('usage/bad-value', `compression-level in ${flag} is a number, not "${level}"`);
  return {
    ...(text !== undefined && { compression: text === 'uncompressed' ? 'none' : (text as Compression) }),
    ...(level !== undefined && { level: Number(level) }),
  };
}

function mountsOf(values: Values): { mounts?: 'all' | readonly string[]; mountsMaxBytes?: number } {
  const [mounts, most] = [values.get('mounts'), values.get('mounts-max')];
  return {
    ...(mounts !== undefined && { mounts: mounts === 'all' ? ('all' as const) : mounts.split(';').filter((id) => id !== '') }),
    ...(most !== undefined && { mountsMaxBytes: parseBytes(most, 'mounts-max in --cache-to') }),
  };
}

/** A file, or `env:NAME`: PEM. */
function readKey(flag: string, values: Values, key: string, env: Environment): KeyText | undefined {
  const text = values.get(key);
  if (text === undefined) return undefined;
  const name = text.startsWith('env:') ? `the variable ${text.slice(4)}` : text;
  try {
    const pem = text.startsWith('env:') ? env[text.slice(4)] : readFileSync(text, 'utf8');
    if (pem) return { pem, name };
  } catch (cause) {
    throw new TbuildError('usage/unreadable-file', `cannot read ${key} of ${flag}: ${(cause as Error).message}`, { cause });
  }
  throw new TbuildError('usage/bad-value', `${key} of ${flag} is empty: ${name}`);
}
