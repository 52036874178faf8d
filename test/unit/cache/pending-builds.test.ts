// Records that wait for the others: all come in, once, in their order, whatever happened on the way.
import { appendFileSync, existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../../src/base/database.ts';
import { type BuildRecord, listBuilds } from '../../../src/cache/builds.ts';
import { addPending, bringIn } from '../../../src/cache/pending-builds.ts';

let folder: string;
let file: string;
let db: Database;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-pending-'));
  file = path.join(folder, 'pending');
  db = openDatabase(path.join(folder, 'tbuild.db'));
});
afterEach(() => {
  db.close();
  rmSync(folder, { recursive: true });
});

const build = (id: string): BuildRecord => ({
  id,
  started: 1,
  ended: 2,
  status: 'completed',
  lease: 'lease',
  context: '/c',
  dockerfile: 'Dockerfile',
  names: ['app'],
  flags: [],
  log: 'log',
  image: 'sha256:1',
  error: undefined,
  steps: [],
});
const ids = () => listBuilds(db).map(({ id }) => id);

test('they come in, in their order, and wait no more', () => {
  for (const id of ['a', 'b']) expect(addPending(file, build(id))).toBe(true);
  expect(ids()).toEqual([]);
  bringIn(db, file);
  expect(ids()).toEqual(['b', 'a']);
  expect(listBuilds(db)[0]).toMatchObject(build('b'));
  expect(existsSync(file)).toBe(false);
  bringIn(db, file);
  expect(ids()).toEqual(['b', 'a']);
});

test('what a killed process had taken is brought in by the next, once', () => {
  addPending(file, build('a'));
  renameSync(file, `${file}.1-1`);
  addPending(file, build('b'));
  bringIn(db, file);
  expect(ids()).toEqual(['b', 'a']);
  addPending(file, build('a'));
  bringIn(db, file);
  expect(ids()).toEqual(['b', 'a']);
});

test('a line that was cut short is no record', () => {
  addPending(file, build('a'));
  appendFileSync(file, '{"id":"b","star');
  bringIn(db, file);
  expect(ids()).toEqual(['a']);
});

test('there is an end to what waits', () => {
  writeFileSync(file, 'x'.repeat((1 << 20) + 1));
  expect(addPending(file, build('a'))).toBe(false);
});
