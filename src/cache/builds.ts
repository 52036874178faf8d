// What builds there were: one row each, with what came of each of its steps. A build whose steps are all cached writes it once, at its end; any
// other when its first step is executed, and again as steps end, so that a killed build is known by what it had done.

import type { Database } from '../base/database.ts';
import type { Digest } from '../base/digest.ts';

/** The oldest beyond it go. */
const MAX_BUILDS = 500;

/** `running` may be a build that was killed: then its lease is gone. */
export type BuildStatus = 'running' | 'completed' | 'failed' | 'canceled';

export interface BuildRecord {
  /** 12 hex digits. */
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly started: number;
  readonly ended: number | undefined;
  readonly status: BuildStatus;
  /** Name of the folder under tmp/ that the process had. */
  readonly lease: string;
  /** A directory in full, or as it was written. */
  readonly context: string;
  readonly dockerfile: string;
  readonly names: readonly string[];
  /** Those that count, as they would be written. */
  readonly flags: readonly string[];
  /** Name of the log's file. */
  readonly log: string;
  readonly image: string | undefined;
  readonly error: string | undefined;
  /** In the order of the plan: other fields refer to them by position. */
  readonly steps: readonly StepOutcome[];
}

export type How = 'waiting' | 'source' | 'cached' | 'executed' | 'failed' | 'canceled';

/** What came of a step. */
export interface StepOutcome {
  readonly name: string;
  readonly stage: string;
  readonly kind: string;
  /** In the Dockerfile; of steps that were executed. */
  readonly line?: number;
  readonly how: How;
  readonly durationMs?: number;
  /** The step that it stands on, and those that it takes from. */
  readonly parent?: number;
  readonly from?: readonly number[];
  readonly key?: Digest;
  /** Its row among the traces. */
  readonly trace?: number;
  /** The beginnings of digests, to compare: of its exact inputs, and of the tree that it made. */
  readonly exact?: string;
  readonly tree?: string;
  /** Of a source: what it was found to be. */
  readonly source?: { readonly name: string; readonly digest: string };
  /** Of an image. */
  readonly layers?: readonly Digest[];
  /** Why it was executed. */
  readonly why?: Reason;
}

export interface Reason {
  /** `changed`: something that it was told, or took as a whole, or below it; `seen`: something that it looked at; `new`: no earlier execution to compare with; `asked`: a flag; `lost`: its result is gone; `failed`: as before. */
  readonly kind: 'changed' | 'seen' | 'new' | 'asked' | 'lost' | 'failed';
  /** One sentence, as it is shown. */
  readonly text: string;
  /** What changed in what the step itself was told or saw. */
  readonly changes: readonly string[];
  /** Of more changes than are kept. */
  readonly more?: number;
  /** The steps below that changed, and what in them. */
  readonly because: readonly Cause[];
  /** What would have prevented it. */
  readonly hint?: string;
}

export interface Cause {
  /** The instruction; empty: the base image, or what was seen. */
  readonly step: string;
  readonly changes: readonly string[];
}

interface Row extends Record<'id' | 'lease' | 'context' | 'dockerfile' | 'names' | 'flags' | 'log' | 'steps', string> {
  readonly started: number;
  readonly ended: number | null;
  readonly status: BuildStatus;
  readonly image: string | null;
  readonly error: string | null;
}

/** Adds a build, or replaces what is known of it. */
export function storeBuild(db: Database, build: BuildRecord): void {
  db.run(
    `INSERT INTO builds (id, started, ended, status, lease, context, dockerfile, names, flags, log, image, error, steps)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, status = excluded.status, image = excluded.image, error = excluded.error, steps = excluded.steps`,
    build.id,
    build.started,
    build.ended ?? null,
    build.status,
    build.lease,
    build.context,
    build.dockerfile,
    JSON.stringify(build.names),
    JSON.stringify(build.flags),
    build.log,
    build.image ?? null,
    build.error ?? null,
    JSON.stringify(build.steps),
  );
}

export function dropOldBuilds(db: Database): void {
  db.run('DELETE FROM builds WHERE number <= (SELECT max(number) FROM builds) - ?', MAX_BUILDS);
}

/** Newest first. */
export function listBuilds(db: Database, limit = MAX_BUILDS): BuildRecord[] {
  return db.all<Row>('SELECT * FROM builds ORDER BY number DESC LIMIT ?', limit).map(fromRow);
}

/** Those of one Dockerfile and context, newest first. */
export function buildsOf(db: Database, context: string, dockerfile: string, limit: number): BuildRecord[] {
  const sql = 'SELECT * FROM builds WHERE context = ? AND dockerfile = ? ORDER BY number DESC LIMIT ?';
  return db.all<Row>(sql, context, dockerfile, limit).map(fromRow);
}

/** By the beginning of their ids. */
export function findBuilds(db: Database, id: string): BuildRecord[] {
  if (!/^[0-9a-f]{1,12}$/.test(id)) return [];
  return db.all<Row>("SELECT * FROM builds WHERE id LIKE ? || '%' ORDER BY number DESC", id).map(fromRow);
}

export function removeBuild(db: Database, id: string): void {
  db.run('DELETE FROM builds WHERE id = ?', id);
}

function fromRow(row: Row): BuildRecord {
  return {
    ...row,
    ended: row.ended ?? undefined,
    image: row.image ?? undefined,
    error: row.error ?? undefined,
    names: JSON.parse(row.names) as string[],
    flags: JSON.parse(row.flags) as string[],
    steps: JSON.parse(row.steps) as StepOutcome[],
  };
}
