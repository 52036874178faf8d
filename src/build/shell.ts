// `shell`: where a RUN has failed, as it was left: its files, mounts, environment, user and directory. What is done there goes when it ends.

import { fetchLater } from '../cache/fetch-later.ts';
import { forwardSignals } from '../containers/signals.ts';
import { startInRoot } from '../native/with-root.ts';
import { openWorkplace } from '../snapshots/workplace.ts';
import { latestFailure } from '../steps/failures.ts';
import { enterFailure } from '../steps/run.ts';
import { openSandbox, type SandboxOptions } from './sandbox-options.ts';
import { workshopOf } from './workshop.ts';

export interface ShellOptions extends SandboxOptions {
  /** The store; undefined: `$TBUILD_ROOT`, else the default place. */
  readonly root?: string;
  /** Empty: the shell that the RUN was for. */
  readonly command: readonly string[];
  readonly terminal: boolean;
  readonly terminalSize?: { readonly width: number; readonly height: number };
}

/** The exit status, as a shell's `$?`. Throws `run/no-failure` where nothing was kept, `run/…` where nothing can be started. */
export async function openShell(options: ShellOptions): Promise<number> {
  const sandbox = await openSandbox(options);
  const workplace = await openWorkplace(options.root, fetchLater());
  try {
    const workshop = workshopOf(workplace, { made: undefined, fixed: undefined });
    const failed = latestFailure(workshop);
    const settings = await sandbox.settingsFor([], 1, workplace);
    const { command, terminal, terminalSize } = options;
    const args = command.length > 0 ? command : [shellOf(failed.operation.args)];
    const visit = { args, env: terminal ? ['TERM=xterm'] : [], terminal, ...(terminalSize && { terminalSize }) };
    const layerOf = () => Promise.reject(new Error('what a RUN has failed with has its layers'));
    return await enterFailure(workshop, { ...settings, layerOf }, failed, visit, async (spec) => {
      const running = startInRoot(spec, `shell-${process.pid}`, 'inherit', settings.runtime?.command);
      const stopForwarding = forwardSignals(running.child);
      try {
        return (await running.result).status;
      } finally {
        stopForwarding();
      }
    });
  } finally {
    await workplace.close();
  }
}

/** `/bin/bash` of `/bin/bash -c make`; of a command without a shell the one that nearly everybody has. */
function shellOf([program = '', ...rest]: readonly string[]): string {
  return /(^|\/)(ba|da|z|k|a)?sh$/.test(program) && rest.length > 0 ? program : '/bin/sh';
}
