// `tbuild logs`: what a container wrote, its standard output to standard output and its errors to standard error.

import { once } from 'node:events';
import type { LogEntry } from '../../containers/logs.ts';
import { formatMoment, parseMoment, readTime } from '../../containers/moments.ts';
import { defineCommand } from '../command.ts';
import { interruptible } from '../interruption.ts';
import type { Output } from '../surroundings.ts';

export const logs = defineCommand({
  name: 'logs',
  usage: '[OPTIONS] CONTAINER',
  description: 'Fetch the logs of a container',
  positionals: [1, 1],
  flags: {
    details: { help: 'Show extra details provided to logs' },
    follow: { short: 'f', help: 'Follow log output' },
    since: {
      value: 'string',
      help: 'Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
    },
    tail: { short: 'n', value: 'string', default: 'all', help: 'Number of lines to show from the end of the logs' },
    timestamps: { short: 't', help: 'Show timestamps' },
    until: {
      value: 'string',
      help: 'Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
    },
  },
  run: async ({ flags, positionals: [name], library, stdout, stderr }) => {
    const nowMs = Date.now();
    const options = {
      follow: flags.follow,
      // Docker takes what is no number for all.
      ...(/^\d+$/.test(flags.tail) && { tail: Number(flags.tail) }),
      ...(flags.since && { since: parseMoment('since', flags.since, nowMs) }),
      ...(flags.until && { until: parseMoment('until', flags.until, nowMs) }),
    };
    await interruptible(async (signal) => {
      const { entries, attributes } = await library.readLog(name!, { ...options, signal });
      const prefix = flags.details ? `${attributes} ` : '';
      const text = (entry: LogEntry) => (flags.timestamps ? `${fullTime(entry.time)} ` : '') + prefix + entry.text;
      for await (const batch of entries) await write(batch, text, { stdout, stderr });
    });
    return 0;
  },
});

/** With all nine digits of its nanoseconds. */
function fullTime(time: string): string {
  const moment = readTime(time);
  return moment === undefined ? time : formatMoment(moment);
}

/** Neighbours of one stream in one piece; a slow reader is waited for. */
async function write(
  entries: readonly LogEntry[],
  text: (entry: LogEntry) => string,
  outputs: Readonly<Record<LogEntry['stream'], Output>>,
): Promise<void> {
  let from = 0;
  for (let at = 1; at <= entries.length; at++) {
    const { stream } = entries[from]!;
    if (entries[at]?.stream === stream) continue;
    const output = outputs[stream] ?? outputs.stdout;
    if (!output.write(entries.slice(from, at).map(text).join(''))) await once(output, 'drain');
    from = at;
  }
}
