// `tbuild stats`: what containers take of the machine, again and again on a terminal, or once.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Sample, type SampledContainer, type Usage, usageOf } from '../../containers/stats.ts';
import { defineCommand } from '../command.ts';
import { interruptible } from '../interruption.ts';
import { formatHelp, formatRows, type Row, type RowFormat } from '../lists/row-format.ts';
import { formatBinarySize, formatSize } from '../units.ts';

/** Processor time is of this span. */
const SPAN_MS = 1000;
const ONLY_SPAN_MS = 500;

const rowFormat: RowFormat = {
  table: ['ID', 'Name', 'CPUPerc', 'MemUsage', 'MemPerc', 'NetIO', 'BlockIO', 'PIDs'].map((name) => `{{.${name}}}`).join('\t'),
  headers: {
    Container: 'CONTAINER',
    Name: 'NAME',
    ID: 'CONTAINER ID',
    CPUPerc: 'CPU %',
    MemUsage: 'MEM USAGE / LIMIT',
    MemPerc: 'MEM %',
    NetIO: 'NET I/O',
    BlockIO: 'BLOCK I/O',
    PIDs: 'PIDS',
  },
};

export const stats = defineCommand({
  name: 'stats',
  usage: '[OPTIONS] [CONTAINER...]',
  description: 'Display a live stream of container(s) resource usage statistics',
  positionals: [0, Number.POSITIVE_INFINITY],
  flags: {
    all: { short: 'a', help: 'Show all containers (default shows just running)' },
    format: { value: 'string', default: 'table', help: formatHelp },
    'no-stream': { help: 'Disable streaming stats and only pull the first result' },
    'no-trunc': { help: 'Do not truncate output' },
  },
  run: async ({ flags, positionals, library, stdout }) => {
    const take = () => library.sampleContainers(positionals, { all: flags.all });
    const isOnce = flags['no-stream'];
    // A terminal is drawn anew each time; a pipe gets one table after the other.
    const clear = stdout.isTTY && !isOnce ? '\x1b[2J\x1b[H' : '';
    await interruptible(async (signal) => {
      let before = await take();
      do {
        await sleep(isOnce ? ONLY_SPAN_MS : SPAN_MS, undefined, { signal });
        const after = await take();
        const rows = after.map((each) => shownRow(each, sampleIn(before, each.id), flags['no-trunc']));
        stdout.write(clear + formatRows(flags.format, rowFormat, rows));
        before = after;
      } while (!isOnce);
    });
    return 0;
  },
});

const sampleIn = (sampled: readonly SampledContainer[], id: string): Sample | undefined =>
  sampled.find((each) => each.id === id)?.sample;

function shownRow({ asked, id, name, isUp, sample }: SampledContainer, before: Sample | undefined, isWhole: boolean): Row {
  const who = { Container: asked, Name: name, ID: isWhole ? id : id.slice(0, 12) };
  if (sample) return { ...who, ...shownUsage(usageOf(before ?? sample, sample)) };
  if (!isUp) return { ...who, ...shownUsage(NOTHING) };
  // It runs, and nothing counts for it: an account without cgroups of its own.
  return { ...who, CPUPerc: '--', MemUsage: '-- / --', MemPerc: '--', NetIO: '--', BlockIO: '--', PIDs: '--' };
}

const NOTHING: Usage = {
  cpuPercent: 0,
  memoryBytes: 0,
  memoryLimitBytes: 0,
  receivedBytes: 0,
  sentBytes: 0,
  readBytes: 0,
  writtenBytes: 0,
  processes: 0,
};

function shownUsage(usage: Usage): Row {
  const { memoryBytes, memoryLimitBytes } = usage;
  return {
    CPUPerc: percent(usage.cpuPercent),
    MemUsage: `${formatBinarySize(memoryBytes)} / ${formatBinarySize(memoryLimitBytes)}`,
    MemPerc: percent(memoryLimitBytes === 0 ? 0 : (memoryBytes / memoryLimitBytes) * 100),
    NetIO: `${formatSize(usage.receivedBytes)} / ${formatSize(usage.sentBytes)}`,
    BlockIO: `${formatSize(usage.readBytes)} / ${formatSize(usage.writtenBytes)}`,
    PIDs: String(usage.processes),
  };
}

const percent = (value: number): string => `${value.toFixed(2)}%`;
