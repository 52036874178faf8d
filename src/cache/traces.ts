// Step records and traces: what a step was told, what it saw of its inputs, and what it made of them.
// A result is valid for any inputs that answer its observations in the same way ("constructive traces", Mokhov et al. 2018).

import type { Database } from '../base/database.ts';
import { canonicalJson, type Digest, sha256 } from '../base/digest.ts';

/** More traces of a step with the same exact inputs than this are not looked at, and the oldest are dropped. */
const MAX_TRACES = 32;
/** When a result was last used is known to this: a build whose steps were all cached mostly writes nothing. */
const USE_PRECISION_MS = 3_600_000;

/** What a step was told. Canonical JSON of it is stored; its digest is the step key. No parent is ever in it. */
export type StepRecord = { readonly version: 1; readonly kind: string } & Readonly<Record<string, unknown>>;

/** One thing seen: the kind of question, the path (or what else was asked), the answer (steps/answers.ts). */
export type Observation = readonly [kind: string, path: string, value: string];

export interface Trace {
  readonly version: 2;
  /** Digests of the inputs taken as a whole, in order: layers' tree digests, a selection of files. */
  readonly exact: readonly Digest[];
  /**
   * What was seen of the layers before, between and after the exact ones: always one more than exact layers; then of each bind mount.
   * Null: no layer is there, or none that was watched. Not the same as nothing seen.
   */
  readonly gaps: readonly (readonly Observation[] | null)[];
}

export interface Recorded {
  /** Its row. */
  readonly id: number;
  readonly trace: Trace;
  readonly layer: Digest;
  /** Milliseconds since the epoch: the `created` of the layer in images. */
  readonly created: number;
  readonly durationMs: number;
  /** Of a RUN: what was there, for who wants to go there. Not read back with the rest. */
  readonly place?: string | undefined;
}

interface Row {
  readonly id: number;
  readonly trace: string;
  readonly layer: Digest;
  readonly created: number;
  readonly duration: number;
}

export function stepKey(record: StepRecord): Digest {
  return sha256(canonicalJson(record));
}

/** Traces of a step for these exact inputs, newest first. Each is read when it is asked for: one may be long. */
export function* findTraces(db: Database, key: Digest, exact: readonly Digest[]): Generator<Recorded> {
  let before = Number.MAX_SAFE_INTEGER;
  for (let count = 0; count < MAX_TRACES; count++) {
    const row = db.get<Row>(
      'SELECT id, trace, layer, created, duration FROM traces WHERE key = ? AND exact = ? AND id < ? ORDER BY id DESC LIMIT 1',
      key,
      exactDigest(exact),
      before,
    );
    if (!row) return;
    before = row.id;
    const recorded = fromRow(row);
    // What an earlier tbuild wrote down was answered in another way.
    if (recorded.trace.version === 2) yield recorded;
  }
}

/** The newest result of a step on the very same inputs. Its trace, which may be long, is read when it is asked for. */
export function findSame(db: Database, key: Digest, same: Digest): Recorded | undefined {
  const sql = 'SELECT id, layer, created, duration AS durationMs FROM traces WHERE key = ? AND same = ? ORDER BY id DESC LIMIT 1';
  const row = db.get<Omit<Recorded, 'trace'>>(sql, key, same);
  if (!row) return undefined;
  return {
    ...row,
    get trace() {
      return (readTrace(db, row.id) as PastTrace).trace;
    },
  };
}

/** The trace holds on these inputs. */
export function rememberSame(db: Database, id: number, same: Digest): void {
  db.run('UPDATE traces SET same = ? WHERE id = ?', same, id);
}

/** A trace, whether or not its result is still here. */
export interface PastTrace {
  readonly id: number;
  readonly key: Digest;
  readonly trace: Trace;
  readonly layer: Digest;
  readonly created: number;
  readonly duration: number;
}

type PastRow = Omit<PastTrace, 'trace'> & { readonly trace: string };

/** Undefined: it was removed, or an earlier tbuild wrote it. */
export function readTrace(db: Database, id: number): PastTrace | undefined {
  const row = db.get<PastRow>('SELECT id, key, trace, layer, created, duration FROM traces WHERE id = ?', id);
  const trace = row && (JSON.parse(row.trace) as Trace);
  return row && trace?.version === 2 ? { ...row, trace } : undefined;
}

export function readRecord(db: Database, key: Digest): StepRecord | undefined {
  const text = db.get<{ record: string }>('SELECT record FROM steps WHERE key = ?', key)?.record;
  return text === undefined ? undefined : (JSON.parse(text) as StepRecord);
}

/** When results of a step were last removed to make room, in milliseconds since the epoch. */
export function lastPruned(db: Database, key: Digest): number | undefined {
  return db.get<{ at: number }>('SELECT at FROM pruned WHERE key = ?', key)?.at;
}

/** The oldest result of a step with this tree digest: for early cut-off. */
export function findEqualResult(db: Database, key: Digest, tree: Digest): Recorded | undefined {
  const row = db.get<Row>(
    `SELECT traces.id, traces.trace, traces.layer, traces.created, traces.duration FROM traces JOIN layers ON layers.id = traces.layer
     WHERE traces.key = ? AND layers.tree = ? ORDER BY traces.id LIMIT 1`,
    key,
    tree,
  );
  return row && fromRow(row);
}

/** Stores a result, and returns its row. Call it in the transaction that commits the layer. `same`: as `findSame` is asked for it. */
export function storeTrace(db: Database, record: StepRecord, recorded: Omit<Recorded, 'id'>, same?: Digest): number {
  const key = stepKey(record);
  const exact = exactDigest(recorded.trace.exact);
  db.run(
    'INSERT INTO steps (key, record, created) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING',
    key,
    canonicalJson(record),
    Date.now(),
  );
  const row = db.get<{ id: number }>(
    'INSERT INTO traces (key, exact, trace, layer, created, duration, used, same, place) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id',
    key,
    exact,
    JSON.stringify(recorded.trace),
    recorded.layer,
    recorded.created,
    Math.round(recorded.durationMs),
    Date.now(),
    same ?? null,
    recorded.place ?? null,
  );
  db.run(
    'DELETE FROM traces WHERE key = ? AND exact = ? AND id NOT IN (SELECT id FROM traces WHERE key = ? AND exact = ? ORDER BY id DESC LIMIT ?)',
    key,
    exact,
    key,
    exact,
    MAX_TRACES,
  );
  return (row as { id: number }).id;
}

/** What was stored with a trace; undefined: nothing, or it is gone. */
export function readPlace(db: Database, trace: number): string | undefined {
  return db.get<{ place: string | null }>('SELECT place FROM traces WHERE id = ?', trace)?.place ?? undefined;
}

/** These layers were made or found: they are not the first to go. */
export function noteUse(db: Database, layers: readonly Digest[], nowMs = Date.now()): void {
  const where = 'layer IN (SELECT value FROM json_each(?)) AND used < ?';
  const values = [JSON.stringify(layers), nowMs - USE_PRECISION_MS];
  if (db.get(`SELECT 1 FROM traces WHERE ${where} LIMIT 1`, ...values))
    db.run(`UPDATE traces SET used = ? WHERE ${where}`, nowMs, ...values);
}

/** What came from elsewhere; undefined: it is no trace of this version. */
export function parseTrace(value: unknown): Trace | undefined {
  const { version, exact, gaps } = (value ?? {}) as Partial<Record<keyof Trace, unknown>>;
  if (version !== 2 || !Array.isArray(exact) || !Array.isArray(gaps)) return undefined;
  const isDigest = (item: unknown): item is Digest => typeof item === 'string' && /^(sha256|blake3):[0-9a-f]{64}$/.test(item);
  const isObservation = (item: unknown) =>
    Array.isArray(item) && item.length === 3 && item.every((part) => typeof part === 'string');
  const isSound = exact.every(isDigest) && gaps.every((gap) => gap === null || (Array.isArray(gap) && gap.every(isObservation)));
  return isSound ? (value as Trace) : undefined;
}

export function exactDigest(exact: readonly Digest[]): Digest {
  return sha256(exact.join('\n'));
}

function fromRow(row: Row): Recorded {
  return { id: row.id, trace: JSON.parse(row.trace) as Trace, layer: row.layer, created: row.created, durationMs: row.duration };
}
