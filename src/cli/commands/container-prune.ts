// `tbuild container prune`: containers that do not run go, after a question.

import { parseMoment } from '../../containers/moments.ts';
import type { ContainerSpec } from '../../containers/spec.ts';
import { defineCommand } from '../command.ts';
import { promptLine } from '../prompt.ts';
import { formatSize } from '../units.ts';
import { type Filters, parseFilters } from '../values/filter.ts';

const WARNING = 'WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ';

export const containerPrune = defineCommand({
  name: 'container prune',
  usage: '[OPTIONS]',
  description: 'Remove all stopped containers',
  positionals: [0, 0],
  flags: {
    filter: { value: 'filter', repeated: true, help: `Provide filter values (e.g. "until=<timestamp>")` },
    force: { short: 'f', help: 'Do not prompt for confirmation' },
  },
  run: async ({ flags, library, stdin, stdout }) => {
    const isMeant = testOf(parseFilters(flags.filter, ['label', 'label!', 'until']), Date.now());
    const terminal = stdin();
    if (!flags.force && terminal.isTTY) {
      const answer = await promptLine(WARNING, terminal, stdout, false);
      if (!/^y(es)?$/i.test(answer.trim())) return 0;
    }
    const { ids, sizeBytes } = await library.pruneContainers(isMeant);
    if (ids.length > 0) stdout.write(`Deleted Containers:\n${ids.map((id) => `${id}\n`).join('')}\n`);
    stdout.write(`Total reclaimed space: ${formatSize(sizeBytes)}\n`);
    return 0;
  },
});

type Test = (container: { readonly created: number; readonly spec: Pick<ContainerSpec, 'labels'> }) => boolean;

/** Of moby's daemon/prune.go: before every `until`, with every `label`, and with none of `label!`. */
function testOf(filters: Filters, nowMs: number): Test {
  const untils = (filters.get('until') ?? []).map((text) => Number(parseMoment('until', text, nowMs) / 1_000_000n));
  const hasLabel = (spec: Pick<ContainerSpec, 'labels'>, text: string) => {
    const [name = '', ...value] = text.split('=');
    return Object.hasOwn(spec.labels, name) && (value.length === 0 || spec.labels[name] === value.join('='));
  };
  return ({ created, spec }) =>
    untils.every((until) => created < until) &&
    (filters.get('label') ?? []).every((text) => hasLabel(spec, text)) &&
    !(filters.get('label!') ?? []).some((text) => hasLabel(spec, text));
}
