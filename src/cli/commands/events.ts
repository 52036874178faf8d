// `tbuild events`: what happens to containers, images, volumes and networks of the store, as it happens.

import type { TimedEvent } from '../../containers/events.ts';
import { eventFilters } from '../../containers/events.ts';
import { formatLocalMoment, parseMoment } from '../../containers/moments.ts';
import { defineCommand } from '../command.ts';
import { interruptible } from '../interruption.ts';
import { parseTemplate } from '../lists/go-template.ts';
import { oneLine } from '../text.ts';
import { filterFlag, parseFilters } from '../values/filter.ts';

export const events = defineCommand({
  name: 'events',
  usage: '[OPTIONS]',
  description: 'Get real time events from the store',
  positionals: [0, 0],
  flags: {
    filter: filterFlag,
    format: { value: 'string', default: '', help: 'Format of the output: "json" (an object for each line), or a Go template' },
    since: { value: 'string', help: 'Show all events created since timestamp' },
    until: { value: 'string', help: 'Stream events until this timestamp' },
  },
  run: async ({ flags, library, stdout }) => {
    const nowMs = Date.now();
    const text = textBy(flags.format);
    const options = {
      filters: parseFilters(flags.filter, eventFilters),
      ...(flags.since && { since: parseMoment('since', flags.since, nowMs) }),
      ...(flags.until && { until: parseMoment('until', flags.until, nowMs) }),
    };
    await interruptible(async (signal) => {
      for await (const event of await library.readEvents({ ...options, signal })) stdout.write(`${text(event)}\n`);
    });
    return 0;
  },
});

function textBy(format: string): (event: TimedEvent) => string {
  if (format === '') return plainText;
  if (/^(?:json|\{\{\s*json \.\s*\}\})$/.test(format)) return (event) => JSON.stringify(messageOf(event));
  const render = parseTemplate(format, { indent: 0 });
  return (event) => render(messageOf(event));
}

/** docker/cli cli/command/system/events.go. */
function plainText({ type, action, id, attributes, time }: TimedEvent): string {
  const known = Object.entries(attributes)
    .map(([name, value]) => `${name}=${value}`)
    .sort();
  const list = known.length === 0 ? '' : ` (${known.join(', ')})`;
  return oneLine(`${formatLocalMoment(time)} ${type} ${action} ${id}${list}`);
}

/** Its number of nanoseconds is larger than JavaScript's numbers are exact. */
function messageOf({ type, action, id, attributes, time }: TimedEvent): Readonly<Record<string, unknown>> {
  return {
    Type: type,
    Action: action,
    Actor: { ID: id, Attributes: attributes },
    scope: 'local',
    time: Number(time / 1_000_000_000n),
    timeNano: (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(time)),
  };
}
