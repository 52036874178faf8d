// Who root in a container is outside: nobody, while owners in images, caches and volumes stay what they are; and when it is root after all.

import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync, mkdtempSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { build } from '../support/events.ts';
import { outputOf } from '../support/output.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

let store: string;
beforeAll(() => {
  store = freshStore();
});

const MAPPED = '0 2147483648 2147483646';
const HOST = '0 0 4294967295';
const WHO = 'cat /proc/self/uid_map | tr -s " " | sed "s/^ //"';

async function run(instructions: string, ...flags: string[]) {
  const built = await build([...flags, makeContext({ Dockerfile: `FROM busybox\n${instructions}\n` })], { store });
  expect(built.code, built.stderr).toBe(0);
  return built;
}

describe('RUN', () => {
  it('has a root that is nobody outside, unless the host’s is asked for or implied', async () => {
    const printed = async (flag: string, ...flags: string[]) => outputOf(await run(`RUN ${flag} ${WHO}`, ...flags), 'RUN');
    expect(await printed('')).toBe(MAPPED);
    expect(await printed('--network=none')).toBe(MAPPED);
    expect(await printed('', '--userns=host')).toBe(HOST);
    expect(await printed('--security=insecure', '--allow=security.insecure')).toBe(HOST);
  });

  it('is another step in the host’s user namespace', async () => {
    expect((await run('RUN : both')).ran).toHaveLength(1);
    expect((await run('RUN : both', '--userns=host')).ran).toHaveLength(1);
    expect((await run('RUN : both')).ran).toEqual([]);
  });

  it('makes layers and caches with the owners that it sees', async () => {
    const cache = '--mount=type=cache,target=/c,uid=5,gid=6';
    await run(`RUN ${cache} touch /c/root && touch /f /g && chown 70000:2147483645 /f && chown 7 /c/root`);
    const look = `RUN ${cache} stat -c "%u %g" /f /g /c /c/root`;
    const lines = `RUN touch /f /g && chown 70000:2147483645 /f\n${look}`;
    for (const flags of [[], ['--userns=host']])
      expect(outputOf(await run(lines, ...flags), 'stat')).toBe('70000 2147483645\n0 0\n5 6\n7 0');
  });

  it('cannot make a device', async () => {
    expect(outputOf(await run('RUN mknod /n c 1 3 2>&1 || true'), 'RUN')).toContain('Operation not permitted');
  });
});

describe('tbuild run', () => {
  const inside = async (...args: string[]) => {
    const { code, stdout, stderr } = await tbuild(['run', '--rm', ...args], { store });
    expect(code, stderr).toBe(0);
    return stdout.trim();
  };

  it('has one too, with volumes as they are on the host', async () => {
    expect(await inside('busybox', 'sh', '-c', WHO)).toBe(MAPPED);
    expect(await inside('--userns=host', 'busybox', 'sh', '-c', WHO)).toBe(HOST);
    expect(await inside('--network=host', 'busybox', 'sh', '-c', WHO)).toBe(HOST);
    const volume = path.join(freshStore(), 'volume');
    mkdirSync(volume, { recursive: true });
    writeFileSync(path.join(volume, 'f'), '');
    chownSync(path.join(volume, 'f'), 11, 12);
    expect(await inside('-v', `${volume}:/v`, 'busybox', 'sh', '-c', 'stat -c "%u %g" /v/f; touch /v/new; chown 3 /v/new')).toBe(
      '11 12',
    );
    expect(statSync(path.join(volume, 'new'))).toMatchObject({ uid: 3, gid: 0 });
  });

  it('says what to do where a file system has no other ids', async () => {
    // ramfs has none (FS_ALLOW_IDMAP in the kernel's sources).
    const directory = mkdtempSync(path.join(tmpdir(), 'tbuild-ramfs-'));
    execFileSync('mount', ['-t', 'ramfs', 'ramfs', directory]);
    try {
      const { code, stderr } = await tbuild(['run', '--rm', '-v', `${directory}:/v`, 'busybox', 'true'], { store });
      expect(code).toBe(125);
      expect(stderr).toContain('--userns=host');
    } finally {
      execFileSync('umount', [directory]);
      rmdirSync(directory);
    }
  });

  it('who is shown the machine’s own file systems has the host’s', async () => {
    const shown = await tbuildOk(['run', '--rm', '-v', '/proc/sys:/v', 'busybox', 'cat', '/proc/self/uid_map'], { store });
    expect(shown.trim().split(/\s+/)).toEqual(['0', '0', '4294967295']);
  });
});
