// Starts a container that is there: what its monitor is to do is written down anew, and the monitor started. From then on the container is the monitor's.

import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TbuildError } from '../base/errors.ts';
import { eventLog } from '../base/event-log.ts';
import { readSize } from '../base/size.ts';
import { fetchLater } from '../cache/fetch-later.ts';
import { type AttachOptions, attachTo, type MonitorSpec, type Stream, startMonitor } from '../native/monitor.ts';
import { openWorkplace, type Workplace } from '../snapshots/workplace.ts';
import { NEVER_MS } from './act.ts';
import { type Container, Containers, eventAttributes, isAlive } from './containers.ts';
import { joinNetworks } from './networks/join.ts';
import { rootSpec } from './root-spec.ts';
import type { ContainerSpec } from './spec.ts';

export type Attachment = AttachOptions & { readonly streams: readonly Stream[]; readonly terminalSize?: TerminalSize };

/** Of the terminal that will be attached; some runtimes (crun) learn it only when it changes. */
export interface TerminalSize {
  readonly width: number;
  readonly height: number;
}

/** By name. Attached: its exit status; else 0. One that runs already is left alone, or joined. */
export async function startContainer(
  name: string,
  attach?: Omit<Attachment, 'streams'> & { readonly withStdin: boolean },
  root?: string,
): Promise<number> {
  const workplace = await openWorkplace(root, fetchLater());
  let container: Container;
  let start: Prepared | undefined;
  try {
    container = new Containers(workplace).find(name);
    start = await prepareStart(workplace, container, attach?.terminalSize);
  } finally {
    await workplace.close();
  }
  const withStdin = attach?.withStdin === true && container.spec.openStdin;
  if (start) return start(attach && { ...attach, streams: [...(withStdin ? (['stdin'] as const) : []), 'stdout', 'stderr'] });
  return attach ? attachTo(container.directory, { ...attach, noStdin: !withStdin }) : 0;
}

/** What `start` returned has no more need of the store: the workplace can be closed before. */
export type Prepared = (attach?: Attachment) => Promise<number>;

/** Of one that runs: undefined. The rest is for a workplace; what is returned then starts it, and resolves to 0 or, attached, to its exit status. */
export async function prepareStart(
  workplace: Workplace,
  container: Container,
  terminalSize?: TerminalSize,
): Promise<Prepared | undefined> {
  const { status } = container.state();
  if (status === 'paused') {
    throw new TbuildError('container/paused', 'cannot start a paused container, try unpause instead');
  }
  if (isAlive(status)) return undefined;
  const containers = new Containers(workplace);
  await containers.settle(container);
  await containers.sweep();
  await writeMonitorSpec(workplace, container, container.spec.terminal ? terminalSize : undefined);
  return (attach) => startMonitor(container.directory, attach);
}

async function writeMonitorSpec(
  workplace: Workplace,
  container: Container,
  terminalSize: TerminalSize | undefined,
): Promise<void> {
  const { id, spec, directory } = container;
  const joined = await joinNetworks({ store: workplace.store, containers: new Containers(workplace) }, container);
  const root = await rootSpec(workplace, spec, container, {
    ...(joined.files && { bridge: joined.files }),
    ...(terminalSize && { terminalSize }),
  });
  const runtime = spec.runtime === undefined ? undefined : (await import('../sandbox/runtime.ts')).findRuntime(spec.runtime);
  const what: MonitorSpec = {
    id,
    root,
    ...(runtime && { runtime: runtime.command }),
    openStdin: spec.openStdin,
    log: logOf(spec, directory),
    restart: restartOf(spec),
    stop: { signal: spec.stopSignal, timeoutMs: spec.stopTimeoutSeconds < 0 ? NEVER_MS : spec.stopTimeoutSeconds * 1000 },
    health: healthOf(spec),
    network: joined.monitor,
    removeAtEnd: spec.autoRemove,
    events: { path: eventLog(workplace.store), attributes: eventAttributes(container) },
  };
  // It may hold secrets of the environment.
  const [path, unfinished] = [join(directory, 'monitor.json'), join(directory, `.monitor.json.${process.pid}`)];
  writeFileSync(unfinished, JSON.stringify(what), { mode: 0o600 });
  renameSync(unfinished, path);
}

export const restartOf = ({ restart }: ContainerSpec): MonitorSpec['restart'] => ({
  policy: restart.name,
  maximumRetries: restart.maximumRetries,
});

/** Docker's: json-file grows without end in one file; local rotates five of 20 MB. */
function logOf({ log: { driver, options } }: ContainerSpec, directory: string): MonitorSpec['log'] {
  if (driver === 'none') return null;
  const size = options['max-size'];
  const files = options['max-file'];
  const isLocal = driver === 'local';
  const maxBytes = size === undefined ? (isLocal ? 20e6 : null) : (readSize(size) ?? null);
  return { path: join(directory, 'log'), maxBytes, maxFiles: files === undefined ? (isLocal ? 5 : 1) : Number(files) };
}

/** Docker's defaults (moby, daemon/health.go). An image's durations are in nanoseconds; 0 is none said. */
function healthOf({ health: check, healthOnFailure }: ContainerSpec): MonitorSpec['health'] {
  const [kind, ...words] = check?.Test ?? [];
  if (!check || kind === undefined || kind === 'NONE') return null;
  const ms = (nanoseconds: number | undefined, orElse: number) => (nanoseconds ? Math.ceil(nanoseconds / 1e6) : orElse);
  return {
    args: kind === 'CMD-SHELL' ? ['/bin/sh', '-c', ...words] : words,
    intervalMs: ms(check.Interval, 30_000),
    timeoutMs: ms(check.Timeout, 30_000),
    startPeriodMs: ms(check.StartPeriod, 0),
    startIntervalMs: ms(check.StartInterval, 5_000),
    retries: check.Retries || 3,
    ...(healthOnFailure && { onFailure: healthOnFailure }),
  };
}
