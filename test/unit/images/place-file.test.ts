import { execFileSync } from 'node:child_process';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { appendFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { placeFile } from '../../../src/images/place-file.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'tbuild-place-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const write = (to: string, flags: 'w' | 'wx') => writeFile(to, 'new', { flag: flags });

test('what stood there stays until all is written', async () => {
  const file = path.join(directory, 'file');
  writeFileSync(file, 'old');
  const failing = placeFile(file, async (to) => {
    await appendFile(to, 'half');
    throw new Error('interrupted');
  });
  await expect(failing).rejects.toThrow('interrupted');
  expect(readFileSync(file, 'utf8')).toBe('old');
  expect(readdirSync(directory)).toEqual(['file']);
  await placeFile(file, write);
  expect(readFileSync(file, 'utf8')).toBe('new');
});

test('of a link, what it points to is replaced', async () => {
  const [file, link] = [path.join(directory, 'file'), path.join(directory, 'link')];
  writeFileSync(file, 'old');
  symlinkSync('file', link);
  await placeFile(link, write);
  expect(lstatSync(link).isSymbolicLink()).toBe(true);
  expect(readFileSync(file, 'utf8')).toBe('new');
});

test('a device is written to and never replaced, by a link too', async () => {
  const [device, link] = [path.join(directory, 'null'), path.join(directory, 'link')];
  execFileSync('mknod', [device, 'c', '1', '3']);
  symlinkSync('null', link);
  for (const destination of [device, link]) await placeFile(destination, write);
  expect(statSync(device).isCharacterDevice()).toBe(true);
  expect(readdirSync(directory).sort()).toEqual(['link', 'null']);
});

test('a directory is not replaced by a file', async () => {
  await expect(placeFile(directory, write)).rejects.toMatchObject({ code: 'image/cannot-write' });
});
