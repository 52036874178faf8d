// Where a store is, how its folders are named, and its format version. Opening makes what is missing and nothing else.
// Many processes share one store; nothing here holds a lock.

import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { type Database, openDatabase } from './database.ts';
import { TbuildError } from './errors.ts';

const FORMAT = 'tbuild store 1\n';
const FOLDERS = [
  'blobs/sha256',
  'layers',
  'containers',
  'volumes',
  'networks',
  'mounts',
  'logs',
  'contexts',
  'tmp',
  'locks',
  'mnt',
];

export interface Store {
  readonly root: string;
  readonly db: Database;
  /** A path inside the store. */
  path(...parts: string[]): string;
  close(): void;
}

/** `$TBUILD_ROOT`, else /var/lib/tbuild for root, else `$XDG_DATA_HOME/tbuild`. */
export function defaultRoot(env: NodeJS.ProcessEnv = process.env): string {
  if (env.TBUILD_ROOT) return env.TBUILD_ROOT;
  if (process.getuid?.() === 0) return '/var/lib/tbuild';
  return join(env.XDG_DATA_HOME || join(homedir(), '.local/share'), 'tbuild');
}

/** Throws `store/unusable` where the folder cannot be made or written, `store/version` where a later tbuild made it. */
export function openStore(place: string = defaultRoot()): Store {
  // Others enter other directories with it.
  const root = resolve(place);
  try {
    if (!existsSync(join(root, 'version'))) create(root);
  } catch (cause) {
    throw new TbuildError('store/unusable', `cannot make a store at ${root}: ${(cause as Error).message}`, {
      cause,
      hint: 'set TBUILD_ROOT to a folder that you can write',
    });
  }
  const format = readFileSync(join(root, 'version'), 'utf8');
  if (format !== FORMAT) {
    throw new TbuildError(
      'store/version',
      `the store at ${root} has the format "${format.trim()}", this tbuild knows "${FORMAT.trim()}"`,
      {
        hint: 'use the tbuild that made it, or set TBUILD_ROOT to another folder',
      },
    );
  }
  const db = openDatabase(join(root, 'tbuild.db'));
  return { root, db, path: (...parts) => join(root, ...parts), close: () => db.close() };
}

function create(root: string): void {
  for (const folder of FOLDERS) makeFolder(join(root, folder));
  writeIfAbsent(join(root, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeIfAbsent(
    join(root, 'index.json'),
    '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}',
  );
  // Made here for its mode, which SQLite keeps. Nothing of a store is for other users: setuid programs of images, secrets in caches and volumes
  // (CVE-2021-41091, CVE-2021-41103).
  closeSync(openSync(join(root, 'tbuild.db'), 'a', 0o600));
  // The version comes last: a store without it is one whose making was cut short, and is made again.
  writeIfAbsent(join(root, 'version'), FORMAT);
}

/** Not mkdirSync's `recursive`: it never ends where a file system answers ENOENT to a mkdir whose parent is there, as /proc does. */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  if (dirname(path) !== path) makeFolder(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function writeIfAbsent(path: string, text: string): void {
  if (existsSync(path)) return;
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, text);
  renameSync(temporary, path);
}
