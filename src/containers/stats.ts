// What containers take of the machine at this moment, from what their cgroups have counted (runc's `events --stats`) and the network links of their
// first process. Processor time is of the span between two looks (docker/cli cli/command/container/stats_helpers.go).

import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { control } from '../native/monitor.ts';
import { type Container, type Containers, isAlive } from './containers.ts';
import { heldLocks, isUp } from './state.ts';

export interface Usage {
  /** Of one processor: two that are busy are 200. */
  readonly cpuPercent: number;
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly processes: number;
}

/** One look at a container. */
export interface Sample {
  readonly atNs: bigint;
  readonly cpuNs: number;
  readonly usage: Omit<Usage, 'cpuPercent'>;
}

export interface SampledContainer {
  /** As it was asked for. */
  readonly asked: string;
  readonly id: string;
  readonly name: string;
  readonly isUp: boolean;
  /** Undefined: it does not run, or nothing is counted for it. */
  readonly sample: Sample | undefined;
}

/** `names` empty: those that run, or with `all` every one. Throws `container/unknown`. */
export async function sampleContainers(
  containers: Containers,
  names: readonly string[],
  { all }: { readonly all: boolean },
): Promise<SampledContainer[]> {
  const locks = heldLocks();
  const listed = containers.list().filter((container) => all || isAlive(container.state(locks).status));
  const chosen =
    names.length > 0
      ? names.map((asked) => ({ asked, container: containers.find(asked) }))
      : listed.map((container) => ({ asked: container.id.slice(0, 12), container }));
  return Promise.all(
    chosen.map(async ({ asked, container }) => {
      const { id, name } = container;
      return { asked, id, name, isUp: isUp(container.state(locks).status), sample: await takeSample(container) };
    }),
  );
}

/** As the monitor answers `stats`; of what is not there nothing is said. */
interface Counted {
  readonly data: {
    readonly cpu?: { readonly usage?: { readonly total?: number | null } };
    readonly memory?: {
      readonly usage?: { readonly limit?: number; readonly usage?: number };
      readonly raw?: Readonly<Record<string, number>>;
    };
    readonly pids?: { readonly current?: number };
    readonly blkio?: { readonly ioServiceBytesRecursive?: readonly { readonly op: string; readonly value: number }[] | null };
  };
}

async function takeSample(container: Container): Promise<Sample | undefined> {
  const { status, pid } = container.state();
  if (!isUp(status)) return undefined;
  try {
    const { data } = await control<Counted>(container.directory, { op: 'stats' });
    return sampleOf(data, container.spec.network.mode === 'host' ? '' : linksOf(pid), process.hrtime.bigint());
  } catch {
    return undefined;
  }
}

/** `links`: /proc/PID/net/dev. Pure. */
export function sampleOf(data: Counted['data'], links: string, atNs: bigint): Sample {
  const { memory, blkio } = data;
  const operations = blkio?.ioServiceBytesRecursive ?? [];
  const sum = (letter: string) =>
    operations.reduce((all, { op, value }) => all + (op.toLowerCase().startsWith(letter) ? value : 0), 0);
  const used = memory?.usage?.usage ?? 0;
  // Pages of files that nobody has asked for lately are not the container's own (kubernetes and docker count so).
  const idle = memory?.raw?.total_inactive_file ?? memory?.raw?.inactive_file ?? 0;
  const [receivedBytes, sentBytes] = trafficIn(links);
  return {
    atNs,
    cpuNs: data.cpu?.usage?.total ?? 0,
    usage: {
      memoryBytes: idle < used ? used - idle : used,
      memoryLimitBytes: Math.min(memory?.usage?.limit ?? Number.POSITIVE_INFINITY, totalmem()),
      receivedBytes,
      sentBytes,
      readBytes: sum('r'),
      writtenBytes: sum('w'),
      processes: data.pids?.current ?? 0,
    },
  };
}

/** Since the first of both; with one sample alone no time has passed. */
export function usageOf(before: Sample, after: Sample): Usage {
  const spanNs = Number(after.atNs - before.atNs);
  const busyNs = after.cpuNs - before.cpuNs;
  const most = availableParallelism() * 100;
  return { ...after.usage, cpuPercent: spanNs > 0 && busyNs > 0 ? Math.min((busyNs / spanNs) * 100, most) : 0 };
}

function linksOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/net/dev`, 'latin1');
  } catch {
    return '';
  }
}

/** Of all links but the loopback: received, sent. */
function trafficIn(links: string): [number, number] {
  let [received, sent] = [0, 0];
  for (const line of links.split('\n')) {
    const [, name, numbers = ''] = /^\s*([^\s:]+):(.*)$/.exec(line) ?? [];
    if (name === undefined || name === 'lo') continue;
    const counts = numbers.trim().split(/\s+/).map(Number);
    received += counts[0] ?? 0;
    sent += counts[8] ?? 0;
  }
  return [received, sent];
}
