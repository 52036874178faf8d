// RUN for another processor: an error that tells what to do, and where qemu-user is registered, a RUN like any other. The emulator is registered in a
// mount namespace of the test's own, for as long as one build takes.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { emptyStore } from '../support/stores.ts';
import { repository, tbuild } from '../support/tbuild.ts';

const BINFMT = '/proc/sys/fs/binfmt_misc';

/** A static program for arm64: write(1, "emulated\n", 9), exit(0). */
function program(): Buffer {
  const code = [0xd2800020, 0x100000e1, 0xd2800122, 0xd2800808, 0xd4000001, 0xd2800000, 0xd2800ba8, 0xd4000001];
  const text = Buffer.from('emulated\n');
  const [headers, address] = [120, 0x400000];
  const elf = Buffer.alloc(headers + code.length * 4 + text.length);
  elf.write('\x7fELF\x02\x01\x01', 'latin1');
  elf.writeUInt16LE(2, 16); // executable
  elf.writeUInt16LE(183, 18); // AArch64
  elf.writeUInt32LE(1, 20);
  elf.writeBigUInt64LE(BigInt(address + headers), 24); // entry
  elf.writeBigUInt64LE(64n, 32); // program headers
  for (const [at, value] of [
    [52, 64],
    [54, 56],
    [56, 1],
  ] as const)
    elf.writeUInt16LE(value, at);
  elf.writeUInt32LE(1, 64); // load
  elf.writeUInt32LE(5, 68); // readable, executable
  for (const [at, value] of [
    [80, address],
    [88, address],
    [96, elf.length],
    [104, elf.length],
    [112, 0x1000],
  ] as const) {
    elf.writeBigUInt64LE(BigInt(value), at);
  }
  for (const [place, word] of code.entries()) elf.writeUInt32LE(word, headers + place * 4);
  text.copy(elf, headers + code.length * 4);
  return elf;
}

function foreignContext(): string {
  const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY --chmod=755 program /\nRUN ["/program"]\n' });
  writeFileSync(path.join(context, 'program'), program());
  return context;
}

const args = ['build', '--progress=plain', '--platform', 'linux/arm64'];

function reasonAgainst(isRegistered: boolean): string | undefined {
  if (process.arch === 'arm64') return 'this machine is the one to be emulated';
  const has = existsSync(BINFMT) && readdirSync(BINFMT).some((name) => name.startsWith('qemu-aarch64'));
  if (has) return isRegistered ? undefined : 'qemu-aarch64 is registered on this machine';
  if (!isRegistered) return undefined;
  if (!emulator()) return 'there is no qemu-aarch64-static (Debian: qemu-user-static)';
  const mounted = spawnSync('unshare', ['-m', 'mount', '-t', 'binfmt_misc', 'binfmt_misc', BINFMT]);
  return mounted.status === 0 ? undefined : `binfmt_misc cannot be mounted: ${mounted.stderr?.toString().trim()}`;
}

function emulator(): string | undefined {
  const found = spawnSync('sh', ['-c', 'command -v qemu-aarch64-static'], { encoding: 'utf8' });
  return found.status === 0 ? found.stdout.trim() : undefined;
}

test('without an emulator: what is missing, and how to register it', async ({ skip }) => {
  const reason = reasonAgainst(false);
  if (reason) {
    console.log(`skipped: ${reason}`);
    skip(reason);
  }
  const { code, stderr } = await tbuild([...args, foreignContext()], { store: emptyStore() });
  expect(code).toBe(9);
  expect(stderr).toContain('exec format error: this machine is linux/amd64, and RUN needs linux/arm64');
  expect(stderr).toContain('apt-get install qemu-user-static binfmt-support');
  expect(stderr).toContain('Dockerfile:3');
});

test('with one: RUN runs', async ({ skip }) => {
  const reason = reasonAgainst(true);
  if (reason) {
    console.log(`skipped: ${reason}`);
    skip(reason);
  }
  const head = '\\x7f\\x45\\x4c\\x46\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00';
  const mask = '\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff';
  const script = [
    `[ -e ${BINFMT}/qemu-aarch64 ] && exec "$@"`,
    `mount -t binfmt_misc binfmt_misc ${BINFMT}`,
    `printf '%s' ':qemu-aarch64:M::${head}:${mask}:${emulator() ?? ''}:F' > ${BINFMT}/register`,
    '"$@"',
    'code=$?',
    `echo -1 > ${BINFMT}/qemu-aarch64`,
    'exit $code',
  ].join('\n');
  const output = execFileSync(
    'unshare',
    ['-m', 'sh', '-c', `exec 2>&1\n${script}`, 'sh', path.join(repository, 'bin/tbuild'), ...args, foreignContext()],
    { encoding: 'utf8', env: { ...process.env, TBUILD_ROOT: emptyStore() } },
  );
  expect(output).toMatch(/^#\d+ [\d.]+ emulated$/m);
});
