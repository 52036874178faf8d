// How a store keeps and mounts layers: found out once by mounting a real stack under it, then remembered.

import { execFileSync } from 'node:child_process';
import { TbuildError } from '../base/errors.ts';
import type { Store } from '../base/store.ts';
import { runnerPath } from '../native/binary.ts';
import { fromNative, type NativeErrorObject } from '../native/errors.ts';
import type { Driver } from '../native/serve.ts';

export interface DriverChoice {
  readonly driver: Driver;
  /** EROFS images are mounted through loop devices. */
  readonly loop: boolean;
  /** Why it is this one: a line for each that was tried. */
  readonly reasons: readonly string[];
  /** The kernel that was asked; another one is asked again. */
  readonly kernel: string;
}

interface Probe {
  readonly driver: 'erofs' | 'erofs-loop' | 'directory';
  readonly reasons: readonly string[];
  readonly kernel: string;
}

/** `TBUILD_DRIVER=erofs|directory` overrides the probe for a new store. */
export function chooseDriver(store: Store): DriverChoice {
  const known = store.db.get<{ value: string }>("SELECT value FROM settings WHERE name = 'driver'");
  if (known) return JSON.parse(known.value) as DriverChoice;
  const probe = runProbe(store.root);
  const forced = process.env.TBUILD_DRIVER;
  const driver = forced === 'directory' ? 'directory' : probe.driver;
  const choice: DriverChoice = {
    driver: driver === 'directory' ? 'directory' : 'erofs',
    loop: driver === 'erofs-loop',
    reasons: forced === 'directory' ? ['directory: TBUILD_DRIVER asks for it'] : probe.reasons,
    kernel: probe.kernel,
  };
  store.db.run("INSERT OR IGNORE INTO settings (name, value) VALUES ('driver', ?)", JSON.stringify(choice));
  return choice;
}

function runProbe(root: string): Probe {
  try {
    const stdout = execFileSync(runnerPath(), ['probe', root], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    return JSON.parse(stdout) as Probe;
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim() || (cause as { stdout?: string }).stdout?.trim();
    try {
      throw fromNative(JSON.parse(said ?? '') as NativeErrorObject);
    } catch (error) {
      if (error instanceof TbuildError) throw error;
      throw new TbuildError(
        'unsupported/no-mounts',
        `cannot find out how ${root} can hold layers: ${said || (cause as Error).message}`,
        { cause },
      );
    }
  }
}
