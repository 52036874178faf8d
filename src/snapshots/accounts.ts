// Users and groups of a tree, from the passwd and group files that indexes carry inlined. Nothing is mounted or opened.

import { TbuildError } from '../base/errors.ts';
import type { LayerIndex } from './layer-index.ts';
import { mergedTree, resolvePath } from './tree.ts';

export interface Ids {
  readonly uid: number;
  readonly gid: number;
}

export interface Credentials extends Ids {
  /** With `gid` in it: else a set-group-id program would drop a group that is there to keep its members out (CVE-2022-36109). */
  readonly additionalGids: readonly number[];
  /** Of the passwd entry; undefined where there is none. */
  readonly home: string | undefined;
}

interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** What a container has written of the image's files, where it has: docker reads them as it finds them at a start. */
export type AccountFiles = Readonly<Partial<Record<'passwd' | 'group', string>>>;

/** The user of a RUN or a container: `""`, `name`, `uid`, each with `:group` or `:gid` (Docker's rules: libcontainer/user). */
export function resolveUser(indexes: readonly LayerIndex[], spec: string, written: AccountFiles = {}): Credentials {
  const [user = '', group] = spec.split(':', 2);
  const accounts = readAccounts(indexes, written.passwd);
  const account =
    user === ''
      ? accounts.find(({ uid }) => uid === 0)
      : (accounts.find(({ name }) => name === user) ?? accounts.find(({ uid }) => uid === numeric(user)));
  const uid = account?.uid ?? (user === '' ? 0 : numeric(user));
  if (uid === undefined) {
    throw new TbuildError('run/unknown-user', `unable to find user ${user}: no matching entries in the image's passwd file`, {
      hint: 'create it in a RUN before, or give a numeric user ID',
    });
  }
  const groups = readGroups(indexes, written.group);
  const home = account?.home;
  if (group !== undefined && group !== '') {
    const gid = groupId(groups, group);
    return { uid, gid, additionalGids: [gid], home };
  }
  const gid = account?.gid ?? 0;
  const others = account ? groups.filter(({ members }) => members.includes(account.name)) : [];
  return { uid, gid, additionalGids: [...new Set([gid, ...others.map((other) => other.gid)])], home };
}

/** Of --group-add: names of the group file, or numbers. */
export function resolveGroups(indexes: readonly LayerIndex[], names: readonly string[], written: AccountFiles = {}): number[] {
  if (names.length === 0) return [];
  const groups = readGroups(indexes, written.group);
  return names.map((name) => groupId(groups, name));
}

function groupId(groups: readonly Group[], group: string): number {
  const gid = groups.find(({ name }) => name === group)?.gid ?? numeric(group);
  if (gid === undefined)
    throw new TbuildError('run/unknown-user', `unable to find group ${group}: no matching entries in the image's group file`);
  return gid;
}

/**
 * The owner that `--chown` names: a number without a group is its own gid; a name without one has its primary group;
 * an unknown name is 0, an unknown group leaves the gid that there would be without it; root needs no files, and an empty part is root
 * (BuildKit: llb.WithUser, solver/llbsolver/file: readUser).
 */
export function resolveOwner(indexes: readonly LayerIndex[], user: string, group: string | undefined): Ids {
  const byNumber = ownerNumber(user);
  const account = byNumber === undefined ? readAccounts(indexes).find(({ name }) => name === user) : undefined;
  const [uid, gid] = [byNumber ?? account?.uid ?? 0, byNumber ?? account?.gid ?? 0];
  if (group === undefined) return { uid, gid };
  return { uid, gid: ownerNumber(group) ?? readGroups(indexes).find(({ name }) => name === group)?.gid ?? gid };
}

/** Beyond 31 bits it is a name to BuildKit, and one that nobody has. */
function ownerNumber(text: string): number | undefined {
  const number = text === 'root' || text === '' ? 0 : numeric(text);
  return number === undefined || number > 0x7fffffff ? undefined : number;
}

/** The last number means to the kernel that an id stays as it is: root's (CVE-2024-40635). */
function numeric(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) < 0xffffffff ? Number(text) : undefined;
}

function readAccounts(indexes: readonly LayerIndex[], written?: string): Account[] {
  return lines(indexes, 'passwd', written).flatMap(([name = '', , uid = '', gid = '', , home = '']) => {
    const ids = [numeric(uid), numeric(gid)] as const;
    return ids[0] === undefined || ids[1] === undefined ? [] : [{ name, uid: ids[0], gid: ids[1], home }];
  });
}

function readGroups(indexes: readonly LayerIndex[], written?: string): Group[] {
  return lines(indexes, 'group', written).flatMap(([name = '', , id = '', members = '']) => {
    const gid = numeric(id);
    return gid === undefined ? [] : [{ name, gid, members: members.split(',').filter((member) => member !== '') }];
  });
}

function lines(indexes: readonly LayerIndex[], which: 'passwd' | 'group', written?: string): string[][] {
  return (written ?? textOf(indexes, which))
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'));
}

function textOf(indexes: readonly LayerIndex[], which: 'passwd' | 'group'): string {
  const found = resolvePath(mergedTree(indexes), `etc/${which}`, true);
  if (found?.entry?.type !== 'file' || found.path !== `etc/${which}`) return '';
  return (indexes[found.entry.layer] as LayerIndex).account(which) ?? '';
}
