// A guest with what prepare.ts has made, and a file of Rust tests run in it as cargo would have run it.
import { expect, inject } from 'vitest';
import { type Cgroups, Guest } from './guest.ts';
import type { Suite } from './prepare.ts';

export function bootGuest(suite: Suite, cgroups: Cgroups): Promise<Guest> {
  return Guest.boot({ kernel: inject('kernels')[suite], cgroups, disk: inject('disk'), accelerator: inject('accelerator') });
}

/** Fails with what the tests said. Returns why any were skipped. */
export async function runRustTests(guest: Guest, name: string): Promise<string[]> {
  const executable = inject('rustTests')[name];
  if (executable === undefined) throw new Error(`cargo built no tests ${name}`);
  const { status, output } = await guest.run(`${executable} --nocapture --test-threads 2`, 60_000);
  const counted = /^test result: .* (\d+) passed; (\d+) failed/m.exec(output);
  expect({ status, failed: counted?.[2] ?? 'none counted' }, output.slice(-6000)).toEqual({ status: 0, failed: '0' });
  return [...output.matchAll(/^skipped.*/gm)].map(([line]) => line);
}
