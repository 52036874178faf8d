// Of the library: what is done to containers.

import type { StopOptions } from '../../containers/act.ts';
import type { Container } from '../../containers/containers.ts';
import type { ContainerExec } from '../../containers/exec.ts';
import type { PrunedContainers } from '../../containers/prune.ts';
import type { ContainerRemoval } from '../../containers/remove.ts';
import type { RunOptions, RunResult } from '../../containers/run.ts';
import type { PortMapping } from '../../containers/spec.ts';
import type { Attachment } from '../../containers/start.ts';
import type { ContainerChange } from '../../containers/update.ts';
import type { AttachOptions } from '../../native/monitor.ts';

export interface ContainerLibrary {
  createContainer(options: Omit<RunOptions, 'root' | 'attach'>): Promise<{ readonly id: string }>;
  runContainer(options: RunOptions): Promise<RunResult>;
  /** Attached: its exit status; else 0. */
  startContainer(name: string, attach?: Omit<Attachment, 'streams'> & { readonly withStdin: boolean }): Promise<number>;
  /** In the order in which they are to be started. */
  containersToBoot(): Promise<readonly Pick<Container, 'id' | 'name'>[]>;
  stopContainer(name: string, options: StopOptions): Promise<void>;
  restartContainer(name: string, options: StopOptions): Promise<void>;
  killContainer(name: string, signal: string): Promise<void>;
  pauseContainer(name: string): Promise<void>;
  unpauseContainer(name: string): Promise<void>;
  /** Its exit status. */
  waitForContainer(name: string): Promise<number>;
  /** In the order of `names`. */
  removeContainers(
    names: readonly string[],
    options: { readonly force: boolean; readonly volumes: boolean },
  ): Promise<readonly ContainerRemoval[]>;
  updateContainer(name: string, change: ContainerChange): Promise<void>;
  /** Those that do not run and that `isMeant` names. */
  pruneContainers(isMeant: (container: Pick<Container, 'created' | 'spec'>) => boolean): Promise<PrunedContainers>;
  renameContainer(name: string, newName: string): Promise<void>;
  /** Its exit status. */
  execInContainer(name: string, options: ContainerExec): Promise<number>;
  /** Those that lead to it now. */
  listPorts(name: string): Promise<readonly PortMapping[]>;
  /** Its exit status. */
  attachToContainer(name: string, options: AttachOptions & { readonly noStdin: boolean }): Promise<number>;
}
