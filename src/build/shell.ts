// `shell`: where a RUN has failed, or a step has ended: its files, mounts, environment, user and directory. What is done there goes when it ends.

import { fetchLater } from '../cache/fetch-later.ts';
import { runInForeground } from '../containers/foreground.ts';
import { openWorkplace } from '../snapshots/workplace.ts';
import { enterPlace } from '../steps/run.ts';
import { placeNamed } from './history/places.ts';
import { openSandbox, type SandboxOptions } from './sandbox-options.ts';
import { workshopOf } from './workshop.ts';

export interface ShellOptions extends SandboxOptions {
  /** The store; undefined: `$TBUILD_ROOT`, else the default place. */
  readonly root?: string;
  /** `fail`: the RUN that failed last; `step:5` of the last build, `step:BUILD:5` of another. */
  readonly at: string;
  /** Empty: the shell that the RUN was for. */
  readonly command: readonly string[];
  readonly terminal: boolean;
  readonly terminalSize?: { readonly width: number; readonly height: number };
}

/** The exit status, as a shell's `$?`. Throws what `placeNamed` throws, `run/…` where nothing can be started. */
export async function openShell(options: ShellOptions): Promise<number> {
  const sandbox = await openSandbox(options);
  const workplace = await openWorkplace(options.root, fetchLater());
  try {
    const workshop = workshopOf(workplace, { made: undefined, fixed: undefined });
    const place = placeNamed(workplace, options.at);
    const settings = await sandbox.settingsFor([], 1, workplace);
    const { command, terminal, terminalSize } = options;
    const args = command.length > 0 ? command : [shellOf(place.operation.args)];
    const visit = { args, env: terminal ? ['TERM=xterm'] : [], terminal, ...(terminalSize && { terminalSize }) };
    const layerOf = () => Promise.reject(new Error('what has run has its layers'));
    return await enterPlace(workshop, { ...settings, layerOf }, place, visit, (spec) =>
      runInForeground(spec, `shell-${process.pid}`, 'inherit', settings.runtime?.command),
    );
  } finally {
    await workplace.close();
  }
}

/** `/bin/bash` of `/bin/bash -c make`; of a command without a shell the one that nearly everybody has. */
function shellOf([program = '', ...rest]: readonly string[]): string {
  return /(^|\/)(ba|da|z|k|a)?sh$/.test(program) && rest.length > 0 ? program : '/bin/sh';
}
