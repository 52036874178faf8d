// Before the tests in guests: Debian's kernels, the disk, and what runs the guests: KVM where the processor lends itself to it, else QEMU's own
// emulation, which takes about ten times as long. Where there can be no guests it says why, and the tests are skipped.
import { execFileSync } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { TestProject } from 'vitest/node';
import { debianKernel, type Kernel } from './debian-kernel.ts';
import { buildRustTests, makeDisk, type RustTests } from './disk.ts';
import type { Accelerator } from './guest.ts';

/** Debian 11, 12 and 13: Linux 5.10, 6.1 and 6.12. */
export const suites = ['bullseye', 'bookworm', 'trixie'] as const;
export type Suite = (typeof suites)[number];

declare module 'vitest' {
  interface ProvidedContext {
    /** Why there can be none. */
    readonly noGuests: string | undefined;
    readonly disk: string;
    readonly kernels: Readonly<Record<Suite, Kernel>>;
    readonly accelerator: Accelerator;
    readonly rustTests: RustTests;
  }
}

export default async function setup(project: TestProject): Promise<() => void> {
  const say = (line: string) => console.log(`tests: ${line}`);
  const noGuests = whyNoGuests();
  project.provide('noGuests', noGuests);
  if (noGuests !== undefined) {
    say(`no guests: ${noGuests}`);
    return () => {};
  }
  const accelerator = hasKvm() ? 'kvm' : 'tcg';
  say(`guests run ${accelerator === 'kvm' ? 'on KVM' : 'emulated, for this machine has no KVM for ordinary kernels'}`);
  project.provide('accelerator', accelerator);
  const kernels: [Suite, Kernel][] = [];
  for (const suite of suites) kernels.push([suite, await debianKernel(suite, say)]);
  project.provide('kernels', Object.fromEntries(kernels) as Record<Suite, Kernel>);
  const rustTests = buildRustTests();
  project.provide('rustTests', rustTests);
  const directory = mkdtempSync(path.join(import.meta.dirname, '../../.tbuild/guests-'));
  const disk = path.join(directory, 'disk');
  await makeDisk(disk, rustTests, say);
  project.provide('disk', disk);
  return () => rmSync(directory, { recursive: true, force: true });
}

function whyNoGuests(): string | undefined {
  if (process.arch !== 'x64') return `they are x86-64 machines, and this one is ${process.arch}`;
  try {
    execFileSync('qemu-system-x86_64', ['--version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'there is no qemu-system-x86_64';
  }
}

/** /dev/kvm alone is not enough: without the processor's help (KVM over PVM, say) it runs no ordinary kernel. */
function hasKvm(): boolean {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return /^flags\s*:.*\b(vmx|svm)\b/m.test(readFileSync('/proc/cpuinfo', 'utf8'));
  } catch {
    return false;
  }
}
