import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Database, openDatabase } from '../../../src/base/database.ts';
import type { Digest } from '../../../src/base/digest.ts';
import {
  findEqualResult,
  findSame,
  findTraces,
  rememberSame,
  type StepRecord,
  stepKey,
  storeTrace,
} from '../../../src/cache/traces.ts';

let folder: string;
let db: Database;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-traces-'));
  db = openDatabase(path.join(folder, 'db'));
});
afterEach(() => {
  db.close();
  rmSync(folder, { recursive: true });
});

const record: StepRecord = { version: 1, kind: 'run', args: ['true'], env: [] };
const layer = (name: string): Digest => `blake3:${name}`;

function store(name: string, exact: readonly Digest[], told: StepRecord = record): void {
  db.run(
    "INSERT OR IGNORE INTO layers (id, tree, driver, bytes, entries, split, created) VALUES (?, ?, 'erofs', 0, 1, 0, 0)",
    layer(name),
    layer(`tree of ${name}`),
  );
  storeTrace(db, told, { trace: { version: 2, exact, gaps: [[]] }, layer: layer(name), created: 5, durationMs: 7 });
}

describe('step keys', () => {
  it('do not depend on the order of members, and leave out what is undefined', () => {
    expect(stepKey({ kind: 'run', version: 1, env: [], args: ['true'], user: undefined } as StepRecord)).toBe(stepKey(record));
  });

  it('depend on everything that was told', () => {
    const keys = [record, { ...record, args: ['false'] }, { ...record, env: ['A=1'] }, { ...record, kind: 'copy' }].map(stepKey);
    expect(new Set(keys).size).toBe(4);
  });
});

describe('traces', () => {
  it('are found by step and exact inputs, newest first', () => {
    store('one', [layer('a')]);
    store('two', [layer('a')]);
    store('other', [layer('b')]);
    expect([...findTraces(db, stepKey(record), [layer('a')])].map((found) => found.layer)).toEqual([layer('two'), layer('one')]);
    expect([...findTraces(db, stepKey(record), [layer('a'), layer('b')])]).toEqual([]);
    expect([...findTraces(db, stepKey({ ...record, kind: 'copy' }), [layer('a')])]).toEqual([]);
  });

  it('give back what was stored', () => {
    store('one', [layer('a')]);
    expect([...findTraces(db, stepKey(record), [layer('a')])]).toEqual([
      { id: 1, trace: { version: 2, exact: [layer('a')], gaps: [[]] }, layer: layer('one'), created: 5, durationMs: 7 },
    ]);
  });

  it('beyond 32 push the oldest out, of the same inputs only', () => {
    store('kept', [layer('b')]);
    for (let i = 0; i < 40; i++) store(`r${i}`, [layer('a')]);
    const found = [...findTraces(db, stepKey(record), [layer('a')])];
    expect(found).toHaveLength(32);
    expect(found.at(-1)?.layer).toBe(layer('r8'));
    expect([...findTraces(db, stepKey(record), [layer('b')])]).toHaveLength(1);
  });

  it('are found by the very same inputs, those of later hits too, and then read only when they are asked for', () => {
    const same = (name: string): Digest => `sha256:${name}`;
    store('one', [layer('a')]);
    const [recorded] = [...findTraces(db, stepKey(record), [layer('a')])];
    expect(findSame(db, stepKey(record), same('these'))).toBeUndefined();
    rememberSame(db, recorded?.id as number, same('these'));
    expect(findSame(db, stepKey(record), same('these'))).toEqual(recorded);
    expect(findSame(db, stepKey({ ...record, kind: 'copy' }), same('these'))).toBeUndefined();
  });

  it('know the oldest equal result of a step', () => {
    store('same', [layer('a')]);
    store('same', [layer('b')]);
    expect(findEqualResult(db, stepKey(record), layer('tree of same'))?.trace.exact).toEqual([layer('a')]);
    expect(findEqualResult(db, stepKey(record), layer('tree of another'))).toBeUndefined();
  });
});

describe('a transaction', () => {
  it('that fails leaves nothing', () => {
    expect(() =>
      db.immediate(() => {
        store('lost', [layer('a')]);
        throw new Error('on purpose');
      }),
    ).toThrow('on purpose');
    expect([...findTraces(db, stepKey(record), [layer('a')])]).toEqual([]);
    expect(db.all('SELECT * FROM layers')).toEqual([]);
  });
});
