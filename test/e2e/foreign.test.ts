// RUN for another processor than this machine's: through what binfmt_misc has registered, else an error that says what to register.
// The table of emulators is the kernel's, of all its users: the tests use names that nobody else would, and take them back.

import { execFileSync, spawnSync } from 'node:child_process';
import { beforeAll, describe, expect, it } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { build } from '../support/events.ts';
import { errorOf } from '../support/output.ts';
import { freshStore } from '../support/stores.ts';
import { repository } from '../support/tbuild.ts';

let store: string;
beforeAll(() => {
  store = freshStore();
});

/** An ELF header of a processor, and nothing behind it. */
function elf(machine: number, isBigEndian: boolean): string {
  const header = Buffer.alloc(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, isBigEndian ? 2 : 1, 1]);
  const write = (value: number, at: number) => (isBigEndian ? header.writeUInt16BE(value, at) : header.writeUInt16LE(value, at));
  write(2, 16);
  write(machine, 18);
  return header.toString('latin1');
}

/** A stage whose only program is for another processor. As base64, for its bytes are no text. */
const foreign = (program: string) =>
  `FROM busybox AS tools\nRUN mkdir -p /x/bin && echo ${Buffer.from(program, 'latin1').toString('base64')} | base64 -d > /x/bin/echo && chmod +x /x/bin/echo\nFROM scratch\n`;

const dockerfile = (machine: number, isBigEndian: boolean) =>
  `${foreign(elf(machine, isBigEndian)).replace('FROM busybox', 'FROM --platform=$BUILDPLATFORM busybox')}COPY --from=tools /x /\nRUN ["/bin/echo", "from afar"]\n`;

describe('a RUN for another processor', () => {
  it('says what is missing when nothing is registered for it', async () => {
    const context = makeContext({ Dockerfile: dockerfile(43, true) });
    const failure = errorOf(await build(['--platform=linux/sparc64', context], { store }));
    expect(failure).toMatchObject({
      code: 'unsupported/foreign-platform',
      message: expect.stringMatching(
        /^exec format error: this machine is linux\/\w+, and RUN needs linux\/sparc64; no emulator for it is registered/,
      ),
      hint: expect.stringContaining('apt-get install qemu-user-static binfmt-support'),
    });
  });

  it('is not needed where nothing runs', async () => {
    const context = makeContext({ Dockerfile: dockerfile(43, true).replace(/RUN \["\/bin.*\n/, '') });
    expect((await build(['--platform=linux/sparc64', context], { store })).code).toBe(0);
  });

  /** An emulator that needs no emulator: busybox does what the name of its first argument says. */
  const register = (flags: string) => `
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc 2>/dev/null || exit 77
    table=/proc/sys/fs/binfmt_misc
    [ ! -e $table/qemu-s390x ] || exit 77
    printf '%s' ':qemu-s390x:M::\\x7fELF\\x02\\x02\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\x16::'"$1"':${flags}' > $table/register || exit 77
    trap 'echo -1 > $table/qemu-s390x' EXIT
    "$2" build --progress=plain --no-cache --platform=linux/s390x "$3"`;

  it.each([
    ['runs through what is registered', 'F', 0, 'from afar'],
    ['needs the flag F', '', 9, 'qemu-s390x is registered in /proc/sys/fs/binfmt_misc without the flag F'],
  ])('%s', (_, flags, code, says) => {
    const busybox = execFileSync('sh', ['-c', 'command -v busybox'], { encoding: 'utf8' }).trim();
    const context = makeContext({ Dockerfile: dockerfile(22, true) });
    const args = ['-m', 'sh', '-c', register(flags), 'sh', busybox, `${repository}/bin/tbuild`, context];
    const { status, stderr } = spawnSync('unshare', args, { env: { ...process.env, TBUILD_ROOT: store }, encoding: 'utf8' });
    if (status === 77) {
      console.log('not tested: emulators cannot be registered here (binfmt_misc), or there is one for s390x already');
      return;
    }
    expect([status, stderr]).toEqual([code, expect.stringContaining(says)]);
  });
});
