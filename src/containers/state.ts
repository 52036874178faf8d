// What a container is doing now. Its monitor writes what it knows to state.json, and holds a lock for as long as it lives: who died without writing it
// down holds none. Only reads; tries no lock, for who tries one keeps a monitor from it.

import { readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { MonitorState } from '../native/monitor.ts';

export interface ContainerState extends Omit<MonitorState, 'status'> {
  /** `dead`: half removed. */
  readonly status: 'created' | 'running' | 'paused' | 'restarting' | 'exited' | 'dead';
  /** Its monitor was killed, and what it could not take along may still be here: `Containers.settle`. */
  readonly isAbandoned: boolean;
}

/** As the kernel lists them; taken once for many containers. */
export type HeldLocks = string;

export const heldLocks = (): HeldLocks => readFileSync('/proc/locks', 'latin1');

const NEVER_STARTED: ContainerState = {
  status: 'created',
  isAbandoned: false,
  pid: 0,
  monitorPid: 0,
  startedAt: 0,
  finishedAt: 0,
  exitCode: 0,
  oomKilled: false,
  error: '',
  restartCount: 0,
  stoppedByUser: false,
  health: null,
  network: null,
};

const KILLED = 137;

export function readState(directory: string, locks?: HeldLocks): ContainerState {
  const said = readSaid(directory);
  if (said === undefined) return NEVER_STARTED;
  if (said.status === 'exited') return { ...said, status: statusAtRest(said), isAbandoned: false };
  if (isHeld(directory, locks ?? heldLocks()) || isMonitor(said.monitorPid, directory)) {
    return { ...said, status: said.status === 'starting' ? 'created' : said.status, isAbandoned: false };
  }
  // It may have ended in good order between the two looks.
  const after = readSaid(directory);
  if (after === undefined || after.status === 'exited') return readState(directory, '');
  const finishedAt = after.finishedAt > after.startedAt ? after.finishedAt : timeOf(directory);
  return { ...after, status: 'exited', isAbandoned: true, exitCode: KILLED, pid: 0, finishedAt };
}

/** There is a first process, though it may be frozen. */
export function isUp(status: ContainerState['status']): boolean {
  return status === 'running' || status === 'paused';
}

/** Docker: what could not be started stays "Created". */
const statusAtRest = ({ startedAt }: MonitorState) => (startedAt === 0 ? 'created' : 'exited');

function readSaid(directory: string): MonitorState | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, 'state.json'), 'utf8')) as MonitorState;
  } catch {
    return undefined; // Never started, or removed at this moment.
  }
}

/** Its monitor holds it. */
export const lockOf = (directory: string): string => join(directory, 'lock');

/** An flock in /proc/locks: `1: FLOCK  ADVISORY  WRITE 4711 fe:01:1835 0 EOF`. The device is left out: some file systems (btrfs, overlayfs) say another there. */
function isHeld(directory: string, locks: HeldLocks): boolean {
  const inode = statSync(lockOf(directory), { throwIfNoEntry: false })?.ino;
  if (inode === undefined) return false;
  return new RegExp(`FLOCK +ADVISORY +WRITE +-?\\d+ [0-9a-f]+:[0-9a-f]+:${inode} `).test(locks);
}

/** In a namespace of processes /proc/locks leaves out locks whose first owner has ended (the starter): then there is the monitor itself. */
function isMonitor(pid: number, directory: string): boolean {
  try {
    return pid > 0 && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(basename(directory));
  } catch {
    return false; // It has ended.
  }
}

/** When an abandoned container was last heard of. */
function timeOf(directory: string): number {
  return Math.floor(statSync(join(directory, 'state.json'), { throwIfNoEntry: false })?.mtimeMs ?? 0);
}
