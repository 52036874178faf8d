// registries.conf (containers-registries.conf(5), version 2): which registries have mirrors, are insecure or blocked, or are to be found elsewhere.
// Read as podman reads it; short names and searches are not, for here a name without a registry is Docker Hub's.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TbuildError } from '../base/errors.ts';
import { asBoolean, asList, asMembers, asString, type Members, optional } from '../oci/document.ts';

export interface RegistryTable {
  /** What references begin with, a host at least; `*.example.com` for all hosts below. */
  readonly prefix: string;
  /** What comes in the prefix's place; empty: it stays. */
  readonly location: string;
  readonly isInsecure: boolean | undefined;
  readonly isBlocked: boolean;
  readonly mirrors: readonly Mirror[];
}

export interface Mirror {
  readonly location: string;
  readonly isInsecure: boolean;
  /** The references it is asked for. */
  readonly serves: 'all' | 'digest-only' | 'tag-only';
}

type Environment = Readonly<Record<string, string | undefined>>;

/** A table of a later file takes the place of one with its prefix. Throws `registry/bad-settings`. */
export async function readRegistriesConf(env: Environment): Promise<RegistryTable[]> {
  const files = filesOf(env).filter((file) => existsSync(file));
  if (files.length === 0) return [];
  const { parse } = await import('smol-toml');
  const tables = new Map<string, RegistryTable>();
  for (const file of files) {
    try {
      for (const table of tablesOf(parse(readFileSync(file, 'utf8')), file)) tables.set(table.prefix, table);
    } catch (cause) {
      const why = cause instanceof TbuildError ? cause.message : `${file}: ${(cause as Error).message.split('\n', 1)[0]}`;
      throw new TbuildError('registry/bad-settings', why, { cause });
    }
  }
  return [...tables.values()];
}

/** A file that the environment names stands alone; a user's own stands for the system's. */
function filesOf(env: Environment): string[] {
  if (env.CONTAINERS_REGISTRIES_CONF) return [env.CONTAINERS_REGISTRIES_CONF];
  const folders = ['/etc/containers', ...(env.HOME ? [join(env.HOME, '.config/containers')] : [])];
  const main = folders.map((folder) => join(folder, 'registries.conf')).findLast((file) => existsSync(file));
  const dropIns = folders
    .map((folder) => join(folder, 'registries.conf.d'))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder)
        .filter((name) => name.endsWith('.conf'))
        .sort()
        .map((name) => join(folder, name)),
    );
  return [...(main === undefined ? [] : [main]), ...dropIns];
}

function tablesOf(document: unknown, file: string): RegistryTable[] {
  const members = asMembers(document, file);
  if (members.has('registries')) {
    throw new TbuildError('registry/bad-settings', `${file} is of version 1: only [[registry]] tables are read`);
  }
  return optional(members, 'registry', file, (list, where) => asList(list, where, tableOf)) ?? [];
}

function tableOf(value: unknown, where: string): RegistryTable {
  const members = asMembers(value, where);
  const location = optional(members, 'location', where, asString) ?? '';
  const prefix = optional(members, 'prefix', where, asString) || location;
  if (prefix === '') throw new TbuildError('registry/bad-settings', `${where} has neither a prefix nor a location`);
  const onlyDigests = flag(members, 'mirror-by-digest-only', where) ?? false;
  return {
    prefix: withoutSlashes(prefix),
    location: withoutSlashes(location),
    isInsecure: flag(members, 'insecure', where),
    isBlocked: flag(members, 'blocked', where) ?? false,
    mirrors:
      optional(members, 'mirror', where, (list, at) => asList(list, at, (each, place) => mirrorOf(each, place, onlyDigests))) ??
      [],
  };
}

function mirrorOf(value: unknown, where: string, onlyDigests: boolean): Mirror {
  const members = asMembers(value, where);
  const serves = optional(members, 'pull-from-mirror', where, asString) ?? (onlyDigests ? 'digest-only' : 'all');
  if (serves !== 'all' && serves !== 'digest-only' && serves !== 'tag-only') {
    throw new TbuildError('registry/bad-settings', `${where}, pull-from-mirror is all, digest-only or tag-only, not "${serves}"`);
  }
  const location = withoutSlashes(asString(members.get('location'), `${where}, location`));
  return { location, isInsecure: flag(members, 'insecure', where) ?? false, serves };
}

const flag = (members: Members, key: string, where: string): boolean | undefined => optional(members, key, where, asBoolean);

const withoutSlashes = (text: string): string => text.replace(/\/+$/, '');

/** The table with the longest prefix that fits. `name`: `docker.io/library/debian`. */
export function tableFor(tables: readonly RegistryTable[], name: string): RegistryTable | undefined {
  const fitting = tables.filter(({ prefix }) => remainder(prefix, name) !== undefined);
  return fitting.sort((a, b) => b.prefix.length - a.prefix.length)[0];
}

/** The name with `location` in the prefix's place. */
export function relocate({ prefix }: Pick<RegistryTable, 'prefix'>, location: string, name: string): string {
  return location === '' ? name : `${location}${remainder(prefix, name) ?? ''}`;
}

/** What stands behind the prefix; undefined: it does not fit. Of a wildcard all hosts are replaced whole. */
function remainder(prefix: string, name: string): string | undefined {
  const slash = name.indexOf('/');
  const [host, path] = [name.slice(0, slash), name.slice(slash)];
  if (prefix.startsWith('*.')) return host.endsWith(prefix.slice(1)) ? path : undefined;
  return name === prefix || name.startsWith(`${prefix}/`) ? name.slice(prefix.length) : undefined;
}
