// Every layer driver on every kind of file system that a store is put on: the checkout's disk, a tmpfs, an overlay as containers have it for a root.
// A pair that cannot work is a test, too: that it is refused, in the probe's words. Mounts what it needs beside the checkout, and unmounts it.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, inject, test } from 'vitest';
import { openStore } from '../../src/base/store.ts';
import type { LayerEntry } from '../../src/native/serve.ts';
import { type DriverChoice, nameOf } from '../../src/snapshots/driver.ts';
import { openWorkplace } from '../../src/snapshots/workplace.ts';
import { layerContract } from '../contract/layers.ts';

/** OVERLAYFS_SUPER_MAGIC. The checkout itself may be on one, in a container. */
const OVERLAYFS = 0x794c7630;
const drivers = ['erofs', 'erofs-loop', 'directory'] as const;
const place = mkdtempSync(path.join(inject('storesRoot'), 'drivers-'));
afterAll(() => rmSync(place, { recursive: true }));

for (const name of ['disk', 'tmpfs', 'overlay']) mkdirSync(path.join(place, name));
mount('tmpfs', 'size=2g');
const overlayParts = ['lower', 'upper', 'work'].map((name) => [`${name}dir`, path.join(place, 'tmpfs', name)] as const);
for (const [, directory] of overlayParts) mkdirSync(directory);
mount('overlay', overlayParts.map((part) => part.join('=')).join());

function mount(type: string, options: string): void {
  execFileSync('mount', ['-t', type, '-o', options, 'tbuild-test', path.join(place, type)]);
  // After the tests; hooks run in the reverse of their order here.
  afterAll(() => void execFileSync('umount', [path.join(place, type)]));
}

/** What opening a new store says; `asked` as TBUILD_DRIVER has it. */
async function choose(root: string, asked = ''): Promise<DriverChoice | Error> {
  mkdirSync(root, { recursive: true });
  process.env.TBUILD_DRIVER = asked;
  try {
    const workplace = await openWorkplace(root);
    await workplace.close();
    return workplace.driver;
  } catch (error) {
    return error as Error;
  } finally {
    delete process.env.TBUILD_DRIVER;
  }
}

describe.for(['disk', 'tmpfs', 'overlay'] as const)('a store on the %s', async (fileSystem) => {
  const choices: (DriverChoice | Error)[] = [];
  for (const driver of drivers) choices.push(await choose(path.join(place, fileSystem, driver), driver));
  const isOverlay = statfsSync(path.join(place, fileSystem)).type === OVERLAYFS;
  const works = drivers.filter((_, position) => !(choices[position] instanceof Error));

  test('is given the best driver that works, and says why not a better one', async () => {
    const root = path.join(place, fileSystem, 'free');
    const choice = await choose(root);
    if (choice instanceof Error) throw choice;
    console.log(`a store on the ${fileSystem}: ${choice.reasons.join('; ')}`);
    expect(nameOf(choice)).toBe(works[0]);
    const tried = drivers.slice(0, drivers.indexOf(nameOf(choice)) + 1);
    expect(choice.reasons.slice(0, tried.length).map((reason) => reason.split(':')[0])).toEqual(tried);
    expect(choice.reasons[tried.length - 1]).toBe(`${works[0]}: works`);
    expect(choice.takesUppers).toBe(!isOverlay);
    expect(readdirSync(path.join(root, 'tmp')).filter((name) => !name.startsWith('.'))).toEqual([]);
  });

  for (const [position, driver] of drivers.entries()) {
    const choice = choices[position];
    if (choice instanceof Error) {
      test(`${driver} is refused: ${choice.message.split(`${driver}: `)[1]}`, () => {
        // Directories are there for every file system; images in files are read through a page cache that tmpfs and overlayfs lack.
        expect(driver).not.toBe('directory');
        expect(choice).toMatchObject({ code: 'unsupported/no-driver', hint: expect.stringContaining('TBUILD_DRIVER') });
        expect(choice.message).toContain(`${driver}: `);
      });
    } else {
      describe(driver, () => {
        if (driver === 'erofs')
          test('is for file systems with a page cache', () => expect([fileSystem, isOverlay]).toEqual(['disk', false]));
        const surroundings = { takesUppers: !isOverlay, listsWhiteouts: isOverlay && driver === 'directory' };
        layerContract(() => path.join(place, fileSystem, driver), surroundings);
      });
    }
  }
});

describe('a store that was opened before', () => {
  const file: LayerEntry = { path: 'file', type: 'file', mode: 0o644, uid: 0, gid: 0, mtime: [1, 0], text: 'x' };

  /** As if the row had been written elsewhere. */
  function changeRow(root: string, change: Partial<DriverChoice>): void {
    const store = openStore(root);
    const row = store.db.get<{ value: string }>("SELECT value FROM settings WHERE name = 'mounts'");
    const value = JSON.stringify({ ...(JSON.parse(row?.value ?? '') as DriverChoice), ...change });
    store.db.run("UPDATE settings SET value = ? WHERE name = 'mounts'", value);
    store.close();
  }

  test('is not probed again, whatever TBUILD_DRIVER says', async () => {
    const root = path.join(place, 'disk/known');
    await choose(root);
    changeRow(root, { reasons: ['as it was'] });
    expect(await choose(root, 'directory')).toMatchObject({ reasons: ['as it was'] });
  });

  test.each([
    { kernel: '5.10.0-not-this-one' },
    { fileSystem: 0x6969 },
  ])('is probed again when it comes from %o', async (elsewhere) => {
    const root = path.join(place, 'disk', `from-${Object.keys(elsewhere)[0]}`);
    const before = (await choose(root)) as DriverChoice;
    changeRow(root, { ...elsewhere, driver: 'directory', loop: false });
    expect(await choose(root)).toEqual(before);
    expect(await choose(root)).toEqual(before);
  });

  test('keeps the driver that was asked for, and its layers when the driver changes', async () => {
    const root = path.join(place, 'disk/forced');
    await choose(root, 'directory');
    changeRow(root, { kernel: 'another' });
    expect(await choose(root)).toMatchObject({ driver: 'directory', forced: true });
    const write = async () => {
      const workplace = await openWorkplace(root);
      const driver = workplace.driver.driver;
      const entries = [{ ...file, path: driver, text: driver }];
      const summary = await workplace.serve.call('writeLayer', { driver, out: workplace.newPath(), sources: [], entries });
      const layer = workplace.layers.commit(summary, driver);
      return { workplace, layer };
    };
    const first = await write();
    await first.workplace.close();
    changeRow(root, { kernel: 'another', forced: false });
    const second = await write();
    const { layers } = second.workplace;
    expect(layers.readFile(first.layer, 'directory').toString()).toBe('directory');
    expect(layers.all().map(({ driver }) => driver)).toEqual(['directory', second.workplace.driver.driver]);
    await second.workplace.close();
  });

  test('does not start with a TBUILD_DRIVER that there is not', async () => {
    expect(await choose(path.join(place, 'disk/none'), 'zfs')).toMatchObject({ code: 'usage/driver' });
  });
});
