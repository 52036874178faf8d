// The store's records: SQLite in WAL mode, one file, shared by any number of processes. Opening is the only set-up.
// A transaction is also the store's commit lock: whoever renames files into the store does it inside `immediate`.

import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { TbuildError } from './errors.ts';

/** What makes records of each version from those of the one before. What is released is never edited: a later version adds to it. */
export const VERSIONS = [
  `
CREATE TABLE layers (
  id TEXT PRIMARY KEY,            -- blake3 of its index
  tree TEXT NOT NULL,             -- tree digest
  driver TEXT NOT NULL,           -- erofs or directory
  bytes INTEGER NOT NULL,         -- of file contents
  entries INTEGER NOT NULL,
  diff_id TEXT,                   -- sha256 of its tar, once known
  tar_size INTEGER,
  split INTEGER NOT NULL,         -- 1: others made it, its framing is kept
  blob TEXT,                      -- sha256 of the compressed blob it came from
  created INTEGER NOT NULL        -- ms since the epoch
) STRICT;
CREATE INDEX layers_tree ON layers (tree);

CREATE TABLE steps (key TEXT PRIMARY KEY, record TEXT NOT NULL, created INTEGER NOT NULL) STRICT;

CREATE TABLE traces (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL REFERENCES steps (key),
  exact TEXT NOT NULL,            -- digest of the exact list
  trace TEXT NOT NULL,            -- JSON
  layer TEXT REFERENCES layers (id),
  created INTEGER NOT NULL,       -- ms since the epoch: the layer's "created" in images
  duration INTEGER NOT NULL       -- ms
) STRICT;
CREATE INDEX traces_lookup ON traces (key, exact, id);

CREATE TABLE images (
  id TEXT PRIMARY KEY,            -- digest of the config
  config TEXT NOT NULL,           -- the config's exact bytes
  layers TEXT NOT NULL,           -- JSON: layer ids, bottom first
  manifest TEXT,                  -- digest of the manifest it was loaded with, if any
  size INTEGER NOT NULL,          -- bytes of file contents of all layers
  created INTEGER NOT NULL        -- ms: when it entered the store
) STRICT;

CREATE TABLE names (name TEXT PRIMARY KEY, image TEXT NOT NULL REFERENCES images (id), updated INTEGER NOT NULL) STRICT;

CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
`,
  `
CREATE TABLE indexes (
  id TEXT PRIMARY KEY,            -- digest of the document
  document TEXT NOT NULL,         -- the OCI index's exact bytes
  created INTEGER NOT NULL        -- ms: when it entered the store
) STRICT;

CREATE TABLE index_images (
  index_id TEXT NOT NULL REFERENCES indexes (id) ON DELETE CASCADE,
  position INTEGER NOT NULL,      -- in the document
  image TEXT NOT NULL REFERENCES images (id),
  platform TEXT NOT NULL,         -- JSON: what the document says that the image is for
  PRIMARY KEY (index_id, position)
) STRICT;
CREATE INDEX index_images_image ON index_images (image);

-- A name of an index: "image" is the one of its images that is meant where nobody says a platform.
ALTER TABLE names ADD COLUMN index_id TEXT REFERENCES indexes (id);
`,
  `
-- Repositories that have a blob, as far as was seen.
CREATE TABLE blob_places (digest TEXT NOT NULL, repository TEXT NOT NULL, PRIMARY KEY (digest, repository)) STRICT;

-- The blob that a layer's tar becomes by our own compression, so that it need not be made to ask a registry for it.
CREATE TABLE made_blobs (
  diff_id TEXT NOT NULL,
  compression TEXT NOT NULL,
  level INTEGER NOT NULL,         -- -1: the compression's own default
  digest TEXT NOT NULL,
  size INTEGER NOT NULL,
  PRIMARY KEY (diff_id, compression, level)
) STRICT;
`,
  `
-- Since when nothing uses a layer any more, in ms: it goes when no process is left that may have found it before. NULL: it is in use.
ALTER TABLE layers ADD COLUMN condemned INTEGER;

-- When a result was last made or found, in ms, to the hour: those that nobody asks for go first.
ALTER TABLE traces ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
UPDATE traces SET used = created;
CREATE INDEX traces_layer ON traces (layer);

-- Steps whose results were removed to make room, and when, in ms.
CREATE TABLE pruned (key TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
`,
  `
-- The latest RUNs that failed: what they were, and the layers of what they left, for who wants to look.
CREATE TABLE failures (
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,            -- ms since the epoch
  step TEXT NOT NULL,             -- JSON: the operation, and where its bind mounts come from
  layers TEXT NOT NULL            -- JSON: layer ids, bottom first; what it wrote is the last
) STRICT;
`,
  `
CREATE TABLE builds (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  started INTEGER NOT NULL,       -- ms since the epoch
  ended INTEGER,                  -- unset: it goes on, or was killed
  status TEXT NOT NULL,           -- running, completed, failed, canceled
  lease TEXT NOT NULL,            -- the folder under tmp/ of the process that builds
  context TEXT NOT NULL,
  dockerfile TEXT NOT NULL,
  names TEXT NOT NULL,            -- JSON
  flags TEXT NOT NULL,            -- JSON: those that count, as they would be written
  log TEXT NOT NULL,              -- name of the file in logs/
  image TEXT,
  error TEXT,
  steps TEXT NOT NULL             -- JSON
) STRICT;
CREATE INDEX builds_project ON builds (context, dockerfile, number);

-- What the digests of exact inputs are of, to say what changed in them: of the latest executions of each step.
CREATE TABLE inputs (
  digest TEXT PRIMARY KEY,
  key TEXT NOT NULL,
  text BLOB NOT NULL,             -- zstd where it is long
  created INTEGER NOT NULL
) STRICT;
CREATE INDEX inputs_key ON inputs (key, created);
`,
  `
-- JSON: the blob and where it can be had, of a layer whose index alone is here.
ALTER TABLE layers ADD COLUMN absent TEXT;
CREATE INDEX layers_diff_id ON layers (diff_id);
`,
  `
-- Digest of all that a watched RUN stood on when its trace was last seen to hold: on the same again nothing is compared.
ALTER TABLE traces ADD COLUMN same TEXT;
CREATE INDEX traces_same ON traces (key, same);
`,
  `
-- Of a RUN: what it was, and where its bind mounts come from (JSON), for who wants to go there.
ALTER TABLE traces ADD COLUMN place TEXT;
`,
  `
-- Containers. What belongs to one refers to it with ON DELETE CASCADE. One whose directory is gone is none any more: its monitor removed it (--rm).
CREATE TABLE containers (
  id TEXT PRIMARY KEY,            -- 64 hex digits
  name TEXT NOT NULL UNIQUE,
  image TEXT NOT NULL,            -- the image's ID
  layers TEXT NOT NULL,           -- JSON: every layer that it stands on, those of mounted images too
  created INTEGER NOT NULL,       -- ms since the epoch
  spec TEXT NOT NULL              -- JSON (containers/spec.ts)
) STRICT;
CREATE INDEX containers_image ON containers (image);
`,
  `
-- Volumes: their files are in volumes/<name>/_data.
CREATE TABLE volumes (
  name TEXT PRIMARY KEY,
  created INTEGER NOT NULL,       -- ms since the epoch
  labels TEXT NOT NULL,           -- JSON
  options TEXT NOT NULL           -- JSON: those of docker's local driver
) STRICT;
`,
  `
-- Networks: docker's three and those that were made. A row says all there is of one: its bridge is on the host only while a container is in it.
CREATE TABLE networks (
  id TEXT PRIMARY KEY,            -- 64 hex digits
  name TEXT NOT NULL UNIQUE,
  created INTEGER NOT NULL,       -- ms since the epoch
  spec TEXT NOT NULL              -- JSON: the rest of containers/networks/network.ts
) STRICT;

-- Who has which address. A row counts while its container runs, and from "since" (ms) on as long as the process "starter" is about to start it.
CREATE TABLE addresses (
  network TEXT NOT NULL REFERENCES networks (id),
  address TEXT NOT NULL,
  container TEXT NOT NULL REFERENCES containers (id) ON DELETE CASCADE,
  starter INTEGER NOT NULL,
  since INTEGER NOT NULL,
  PRIMARY KEY (network, address)
) STRICT;
CREATE INDEX addresses_container ON addresses (container);

-- Ports of the host that lead to a container; "address" '' is every one. Rows count as those of addresses.
CREATE TABLE ports (
  container TEXT NOT NULL REFERENCES containers (id) ON DELETE CASCADE,
  address TEXT NOT NULL,
  port INTEGER NOT NULL,
  protocol TEXT NOT NULL,
  starter INTEGER NOT NULL,
  since INTEGER NOT NULL,
  PRIMARY KEY (address, port, protocol)
) STRICT;
CREATE INDEX ports_container ON ports (container);
`,
];

export interface Database {
  get<T>(sql: string, ...values: SQLInputValue[]): T | undefined;
  all<T>(sql: string, ...values: SQLInputValue[]): T[];
  run(sql: string, ...values: SQLInputValue[]): number;
  /** Runs `work` in a transaction that holds the write lock from its first moment; an exception rolls it back. */
  immediate<T>(work: () => T): T;
  close(): void;
}

export function openDatabase(path: string): Database {
  const db = connect(path);
  const statements = new Map<string, StatementSync>();
  const prepare = (sql: string): StatementSync => {
    let statement = statements.get(sql);
    if (!statement) {
      statement = db.prepare(sql);
      statements.set(sql, statement);
    }
    return statement;
  };
  const immediate = <T>(work: () => T): T => {
    db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      db.exec('COMMIT');
      return result;
    } catch (error) {
      try {
        db.exec('ROLLBACK');
      } catch {
        // SQLite has rolled back already (a full disk does that): the first error is the one that counts.
      }
      throw error;
    }
  };
  const guarded = <T>(work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      throw databaseError(path, cause);
    }
  };
  const database: Database = {
    get: <T>(sql: string, ...values: SQLInputValue[]) => guarded(() => prepare(sql).get(...values)) as T | undefined,
    all: <T>(sql: string, ...values: SQLInputValue[]) => guarded(() => prepare(sql).all(...values)) as T[],
    run: (sql, ...values) => guarded(() => Number(prepare(sql).run(...values).changes)),
    immediate: (work) => guarded(() => immediate(work)),
    close: () => db.close(),
  };
  const readVersion = () => database.get<{ user_version: number }>('PRAGMA user_version')?.user_version ?? 0;
  let version = readVersion();
  // Kept in the file: later connections find it so.
  if (version === 0) db.exec('PRAGMA journal_mode = WAL');
  if (version < VERSIONS.length) {
    database.immediate(() => {
      // Another process may have been first.
      for (const change of VERSIONS.slice(readVersion())) db.exec(change);
      db.exec(`PRAGMA user_version = ${VERSIONS.length}`);
    });
    version = readVersion();
  }
  if (version !== VERSIONS.length) {
    throw new TbuildError(
      'store/version',
      `the records at ${path} have the version ${version}, this tbuild knows ${VERSIONS.length}`,
      { hint: 'use the tbuild that made them, or set TBUILD_ROOT to another folder' },
    );
  }
  return database;
}

function connect(path: string): DatabaseSync {
  try {
    const db = new DatabaseSync(path, { timeout: 60_000 });
    // NORMAL: a power cut may lose the newest records (a rebuild), a kill loses none.
    db.exec('PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON');
    return db;
  } catch (cause) {
    throw databaseError(path, cause);
  }
}

function databaseError(path: string, cause: unknown): unknown {
  if (cause instanceof TbuildError || !(cause instanceof Error) || (cause as NodeJS.ErrnoException).code !== 'ERR_SQLITE_ERROR')
    return cause;
  const code = (cause as { errcode?: number }).errcode ?? 0;
  // The primary result code is the low byte (sqlite.org/rescode.html): 10 IOERR (a full disk shows as it too), 13 FULL.
  if ((code & 0xff) === 13 || (code & 0xff) === 10) {
    return new TbuildError('store/full', `cannot write the store's records at ${path}: ${cause.message}`, {
      cause,
      hint: 'free some space, then run the same command again',
    });
  }
  return new TbuildError('store/records', `the store's records at ${path} cannot be used: ${cause.message}`, {
    cause,
    hint: 'move the store away, or set TBUILD_ROOT to another folder',
  });
}
