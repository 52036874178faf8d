// What a RUN that failed says: its exit code as BuildKit has it, what that code usually means, and what to do about a command that could
// not even be started.

import { readdirSync, readFileSync } from 'node:fs';
import { TbuildError } from '../base/errors.ts';
import { quote } from '../dockerfile/go-text.ts';
import type { RootResult } from '../native/with-root.ts';
import { formatPlatform, hostPlatform, matchesPlatform } from '../oci/platform.ts';
import type { RunOperation } from '../plan/graph.ts';

/** How often the kernel has killed for memory since it started; compared before and after. */
export function countOomKills(): number {
  try {
    return Number(/^oom_kill (\d+)$/m.exec(readFileSync('/proc/vmstat', 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

const LOOK = 'look around where it failed: tbuild shell';

type Ended = Pick<RootResult, 'status' | 'killedForMemory'>;

const LIMIT =
  'the limit of --resource memory was reached, and the kernel killed for it; files that RUN writes count while they are in memory';

export function explainFailure(operation: RunOperation, result: Ended, oomKillsBefore: number): TbuildError {
  const { status, killedForMemory: atLimit } = result;
  const killedForMemory = atLimit || (status === 128 + 9 && countOomKills() > oomKillsBefore);
  const message = `process ${quote(operation.args.join(' '))} did not complete successfully: exit code: ${status}`;
  return new TbuildError('run/exit', killedForMemory ? `${message} (cannot allocate memory)` : message, {
    hint: atLimit
      ? LIMIT
      : killedForMemory
        ? 'the kernel ran out of memory while it ran, and killed for it'
        : (hintOf(status) ?? LOOK),
    details: { exitCode: status },
  });
}

const signals: Readonly<Record<number, string>> = {
  4: 'SIGILL: an instruction that this processor lacks',
  6: 'SIGABRT: it gave up by itself',
  7: 'SIGBUS',
  8: 'SIGFPE',
  9: 'SIGKILL: often for want of memory',
  11: 'SIGSEGV: it crashed',
  13: 'SIGPIPE',
  15: 'SIGTERM',
  31: 'SIGSYS: a system call that the sandbox does not allow',
};

function hintOf(status: number): string | undefined {
  if (status === 126) return 'a command was found and could not be executed: its mode, its #! line, or the processor it is for';
  if (status === 127) return 'a command was not found: install it in an earlier instruction, or look at PATH';
  const signal = signals[status - 128];
  return signal && `a signal ended it: ${signal}`;
}

/** For what comes from the runtime before the command ran. */
export function explainStart(operation: RunOperation, error: unknown): unknown {
  if (!(error instanceof TbuildError)) return error;
  if (error.details?.errno === 'ENOEXEC' || error.code === 'run/command-not-found') {
    const foreign = explainForeign(operation);
    if (foreign) return foreign;
  }
  const hint = hintOfStart(error, operation.args[0] ?? '');
  return hint ? new TbuildError(error.code, error.message, { hint, cause: error.cause, details: error.details }) : error;
}

function hintOfStart({ code, details }: TbuildError, command: string): string | undefined {
  switch (code) {
    case 'run/command-not-found':
      return command === '/bin/sh'
        ? 'if this image has no shell: write the command as a list (RUN ["program", "argument"]), or name the shell it has (SHELL)'
        : 'install it in an earlier instruction; a name without a slash is looked for in PATH';
    case 'run/command-not-executable':
      if (details?.errno === 'EACCES') return `make it executable: chmod +x ${command}, or --chmod of the COPY that brings it`;
      return details?.errno === 'ENOEXEC' ? 'a script begins with #! and its interpreter: #!/bin/sh' : undefined;
    case 'run/arguments-too-long':
      return 'each may be 128 KiB, all together some 2 MB: put the command into a file (COPY <<EOF), and RUN that';
    default:
      return undefined;
  }
}

/** Names of processors as qemu-user has them. */
const QEMU: Readonly<Record<string, string>> = {
  386: 'i386',
  amd64: 'x86_64',
  arm64: 'aarch64',
  loong64: 'loongarch64',
  mips64le: 'mips64el',
  mipsle: 'mipsel',
};

const BINFMT = '/proc/sys/fs/binfmt_misc';

/** Undefined: the image is for this machine, so that is not why. */
function explainForeign({ platform }: RunOperation): TbuildError | undefined {
  if (matchesPlatform(hostPlatform(), platform)) return undefined;
  const emulator = `qemu-${QEMU[platform.architecture] ?? platform.architecture}`;
  const what = `exec format error: this machine is ${formatPlatform(hostPlatform())}, and RUN needs ${formatPlatform(platform)}`;
  const state = readEmulator(emulator);
  if (state?.isEnabled && state.isFixed) return undefined;
  const why = state
    ? state.isEnabled
      ? `${emulator} is registered in ${BINFMT} without the flag F, so containers do not see it`
      : `${emulator} is registered in ${BINFMT}, and disabled`
    : `no emulator for it is registered in ${BINFMT}`;
  return new TbuildError('unsupported/foreign-platform', `${what}; ${why}`, {
    hint:
      'register qemu-user for it: apt-get install qemu-user-static binfmt-support (Debian, Ubuntu); ' +
      'or, with docker: docker run --privileged --rm tonistiigi/binfmt --install all',
  });
}

/** binfmt_misc's own words (Documentation/admin-guide/binfmt-misc.rst). */
function readEmulator(name: string): { isEnabled: boolean; isFixed: boolean } | undefined {
  try {
    const entry = readdirSync(BINFMT).find((one) => one === name || one === `${name}-static`);
    if (entry === undefined) return undefined;
    const text = readFileSync(`${BINFMT}/${entry}`, 'utf8');
    return { isEnabled: text.startsWith('enabled'), isFixed: /^flags: .*F/m.test(text) };
  } catch {
    return undefined; // Not mounted.
  }
}
