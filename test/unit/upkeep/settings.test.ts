// The build cache's budget as the configuration file says it, and what is wrong with a file that cannot be meant.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readBudget } from '../../../src/upkeep/settings.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'tbuild-settings-'));
afterAll(() => rmSync(folder, { recursive: true }));
const DISK = 1000 * 2 ** 30;

const read = (text: string) => {
  const file = path.join(folder, 'tbuild.toml');
  writeFileSync(file, text);
  return readBudget({ TBUILD_CONFIG: file }, DISK);
};

test('without a file the shares are those of BuildKit', async () => {
  const budget = await readBudget({ TBUILD_CONFIG: path.join(folder, 'none') }, DISK);
  expect(budget).toEqual({ isOn: true, reservedBytes: 0.1 * DISK, maxUsedBytes: 0.6 * DISK, minFreeBytes: 0.2 * DISK });
});

test('sizes, shares and off', async () => {
  const budget = await read('[gc]\nreservedSpace = "2GB"\nmaxUsedSpace = "12.5%"\nminFreeSpace = 4096\n');
  expect(budget).toEqual({ isOn: true, reservedBytes: 2 ** 31, maxUsedBytes: 0.125 * DISK, minFreeBytes: 4096 });
  expect((await read('[gc]\ngc = false')).isOn).toBe(false);
  expect((await read('# nothing')).isOn).toBe(true);
});

test.each([
  ['[gc]\nreserved = 1', '[gc] has no setting reserved: there are gc, reservedSpace, maxUsedSpace, minFreeSpace'],
  ['[gc]\nmaxUsedSpace = "much"', 'maxUsedSpace is a size ("20GB") or a share of the disk ("10%"), not "much"'],
  ['[gc]\nmaxUsedSpace = -1', 'maxUsedSpace is a size'],
  ['[gc]\ngc = "yes"', 'gc is true or false'],
  ['gc = 5', 'gc is a table: [gc]'],
  ['[gc', 'Invalid TOML document'],
])('%j is refused', async (text, message) => {
  await expect(read(text)).rejects.toMatchObject({ code: 'usage/bad-config', message: expect.stringContaining(message) });
});
