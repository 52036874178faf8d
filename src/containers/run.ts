// `run`: a container that is made and started at once. Its workplace is closed before it starts: what it stands on is in its record.

import { fetchLater } from '../cache/fetch-later.ts';
import { openWorkplace, type Workplace } from '../snapshots/workplace.ts';
import { type Container, Containers } from './containers.ts';
import { createContainer } from './create.ts';
import type { CreateOptions } from './create-options.ts';
import type { PullWatcher } from './obtain-image.ts';
import { type Attachment, type Prepared, prepareStart } from './start.ts';

export interface RunOptions extends CreateOptions {
  /** The store; undefined: `$TBUILD_ROOT`, else the default place. */
  readonly root?: string;
  /** Joined to our streams until it ends; undefined: it runs on by itself. */
  readonly attach?: Attachment;
  /** Called when there is something to pull: who is told of it. */
  readonly showPull?: () => Promise<PullWatcher>;
}

export interface RunResult {
  readonly id: string;
  /** As a shell's `$?`; of one that runs on by itself 0. */
  readonly exitCode: number;
}

/** Throws `run/…` where it cannot be started. */
export async function runContainer({ root, attach, showPull, ...options }: RunOptions): Promise<RunResult> {
  const workplace = await openWorkplace(root, fetchLater());
  let prepared: { container: Container; start: Prepared };
  try {
    const container = await createContainer(workplace, options, showPull);
    prepared = { container, start: await prepareNew(workplace, container, attach) };
  } finally {
    await workplace.close();
  }
  const { container, start } = prepared;
  try {
    return { id: container.id, exitCode: await start(attach) };
  } catch (error) {
    // What is left of it is no reason to say another thing than why it did not start.
    if (options.autoRemove) await removeUnstarted(container, root).catch(() => {});
    throw error;
  }
}

/** One that was made for this run and cannot be started goes with --rm; without it, it is kept as docker keeps it. */
async function prepareNew(workplace: Workplace, container: Container, attach: Attachment | undefined): Promise<Prepared> {
  try {
    return (await prepareStart(workplace, container, attach?.terminalSize)) as Prepared;
  } catch (error) {
    if (container.spec.autoRemove) await new Containers(workplace).remove(container, { force: true });
    throw error;
  }
}

async function removeUnstarted(container: Container, root: string | undefined): Promise<void> {
  const workplace = await openWorkplace(root, fetchLater());
  try {
    await new Containers(workplace).remove(container, { force: true });
  } finally {
    await workplace.close();
  }
}
