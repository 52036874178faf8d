import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { statCachePath } from '../../../src/context/stat-cache.ts';

test('one file a context, and not too many of them', () => {
  const folder = path.join(mkdtempSync(path.join(tmpdir(), 'tbuild-stat-')), 'contexts');
  try {
    expect(statCachePath(folder, '/a')).not.toBe(statCachePath(folder, '/b'));
    expect(statCachePath(folder, '/a')).toBe(statCachePath(folder, '/a'));
    for (let i = 0; i < 201; i++) {
      const file = statCachePath(folder, `/context/${i}`);
      writeFileSync(file, '');
      utimesSync(file, i, i);
    }
    const newest = path.basename(statCachePath(folder, '/context/200'));
    expect(readdirSync(folder)).toHaveLength(100);
    expect(readdirSync(folder)).toContain(newest);
  } finally {
    rmSync(path.dirname(folder), { recursive: true });
  }
});
