// The records' versions: what an earlier tbuild wrote is brought to this one's form, and nothing is lost.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import { openDatabase, VERSIONS } from '../../../src/base/database.ts';

test('records of the first version are brought to this one', () => {
  const path = `${mkdtempSync(`${tmpdir()}/tbuild-records-`)}/tbuild.db`;
  const older = new DatabaseSync(path);
  older.exec(`${VERSIONS[0]}; PRAGMA user_version = 1`);
  older.exec(`INSERT INTO images VALUES ('sha256:1', '{}', '[]', NULL, 0, 0); INSERT INTO names VALUES ('old', 'sha256:1', 0)`);
  older.close();
  const reopened = openDatabase(path);
  expect(reopened.get('SELECT name, index_id FROM names')).toEqual({ name: 'old', index_id: null });
  reopened.close();
  rmSync(dirname(path), { recursive: true });
});
