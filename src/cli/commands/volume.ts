// `tbuild volume`: docker's commands for volumes, with its columns and its words.

import { TbuildError } from '../../base/errors.ts';
import { parseBool } from '../../base/parse-bool.ts';
import { hasLabel, matcher } from '../../containers/filter.ts';
import type { Volume } from '../../containers/volumes/volume.ts';
import { defineCommand } from '../command.ts';
import { defineGroup } from '../command-group.ts';
import { confirm } from '../confirm.ts';
import { eachInTurn } from '../each.ts';
import { formatHelp, formatRows, type Row, type RowFormat } from '../lists/row-format.ts';
import { formatSize } from '../units.ts';
import { pairsOf } from '../values/env.ts';
import { type Filters, filterFlag, parseFilters } from '../values/filter.ts';
import { pruneFilterFlag, pruneTest } from '../values/prune.ts';
import { inspectVolume } from './inspect.ts';

const create = defineCommand({
  name: 'volume create',
  usage: '[OPTIONS] [VOLUME]',
  description: 'Create a volume',
  positionals: [0, 1],
  flags: {
    driver: { short: 'd', value: 'string', default: 'local', help: 'Specify volume driver name (there is only "local")' },
    label: { value: 'list', repeated: true, help: 'Set metadata for a volume' },
    name: { value: 'string', hidden: true, help: 'Specify volume name' },
    opt: { short: 'o', value: 'map', repeated: true, help: 'Set driver specific options' },
  },
  examples: [
    ['tbuild volume create data', 'a directory of the store'],
    ['tbuild volume create -o type=none -o o=bind -o device=/srv/data data', 'a directory of the host under a name'],
    ['tbuild volume create -o type=tmpfs -o device=tmpfs -o o=size=100m scratch', 'memory'],
  ],
  run: async ({ flags, positionals: [given], library, stdout }) => {
    if (given !== undefined && flags.name !== undefined)
      throw new TbuildError(
        'usage/bad-value',
        'conflicting options: cannot specify a volume-name through both --name and as a positional arg',
      );
    if (flags.driver !== 'local')
      throw new TbuildError(
        'unsupported/volume',
        `error looking up volume plugin ${flags.driver}: plugin "${flags.driver}" not found`,
      );
    const name = given ?? flags.name;
    const { name: made } = await library.createVolume({
      ...(name !== undefined && name !== '' && { name }),
      labels: pairsOf(flags.label),
      options: pairsOf(flags.opt),
    });
    stdout.write(`${made}\n`);
    return 0;
  },
});

const rowFormat: RowFormat = {
  table: '{{.Driver}}\t{{.Name}}',
  headers: {
    Availability: 'AVAILABILITY',
    Driver: 'DRIVER',
    Group: 'GROUP',
    Labels: 'LABELS',
    Links: 'LINKS',
    Mountpoint: 'MOUNTPOINT',
    Name: 'VOLUME NAME',
    Scope: 'SCOPE',
    Size: 'SIZE',
    Status: 'STATUS',
  },
};

const ls = defineCommand({
  name: 'volume ls',
  usage: '[OPTIONS]',
  description: 'List volumes',
  positionals: [0, 0],
  flags: {
    filter: { ...filterFlag, help: 'Provide filter values (e.g. "dangling=true")' },
    format: { value: 'string', default: 'table', help: formatHelp },
    quiet: { short: 'q', help: 'Only display volume names' },
  },
  run: async ({ flags, library, stdout }) => {
    const isMeant = volumeTest(parseFilters(flags.filter, ['dangling', 'driver', 'label', 'name']));
    const rows = (await library.listVolumes()).filter(isMeant).map(({ volume }) => volumeRow(volume));
    stdout.write(formatRows(flags.quiet ? '{{.Name}}' : flags.format, rowFormat, rows));
    return 0;
  },
});

/** Docker's names, and its N/A of what only clusters and `system df` know. */
function volumeRow({ name, labels, directory }: Volume): Row {
  const unknown = 'N/A';
  const text = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  const nowhere = { Availability: unknown, Group: unknown, Links: unknown, Size: unknown, Status: unknown };
  return { ...nowhere, Driver: 'local', Labels: text.join(','), Mountpoint: directory, Name: name, Scope: 'local' };
}

interface Listed {
  readonly volume: Volume;
  readonly isUsed: boolean;
}

/** Of a name's values any will do, of labels all must hold (moby volume/service/store.go, api filters). */
function volumeTest(filters: Filters): (listed: Listed) => boolean {
  const tests: Readonly<Record<string, (value: string) => (listed: Listed) => boolean>> = {
    dangling: (value) => {
      const isWanted = readBoolean('dangling', value);
      return ({ isUsed }) => isUsed !== isWanted;
    },
    driver: (value) => () => value === 'local',
    label:
      (value) =>
      ({ volume }) =>
        hasLabel(volume.labels, value),
    name: (value) => {
      const matches = matcher([value]);
      return ({ volume }) => matches(volume.name);
    },
  };
  const all = [...filters].map(([name, values]) => {
    const each = values.map((value) => tests[name]!(value));
    return (listed: Listed) => (name === 'label' ? each.every((test) => test(listed)) : each.some((test) => test(listed)));
  });
  return (listed) => all.every((test) => test(listed));
}

function readBoolean(filter: string, text: string): boolean {
  const value = parseBool(text);
  if (value === undefined) throw new TbuildError('usage/bad-value', `invalid filter '${filter}=[${text}]'`);
  return value;
}

const rm = defineCommand({
  name: 'volume rm',
  usage: '[OPTIONS] VOLUME [VOLUME...]',
  description: 'Remove one or more volumes. You cannot remove a volume that is in use by a container',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: { force: { short: 'f', help: 'Force the removal of one or more volumes' } },
  run: async ({ flags, positionals, library, stdout, ...surroundings }) =>
    eachInTurn(positionals, surroundings, async (name) => {
      await library.removeVolume(name, { force: flags.force });
      stdout.write(`${name}\n`);
    }),
});

const WARNING = 'WARNING! This will remove anonymous local volumes not used by at least one container.';
const WARNING_ALL = 'WARNING! This will remove all local volumes not used by at least one container.';

const prune = defineCommand({
  name: 'volume prune',
  usage: '[OPTIONS]',
  description: 'Remove unused local volumes',
  positionals: [0, 0],
  flags: {
    all: { short: 'a', help: 'Remove all unused volumes, not just anonymous ones' },
    filter: { ...pruneFilterFlag, help: 'Provide filter values (e.g. "label=<label>")' },
    force: { short: 'f', help: 'Do not prompt for confirmation' },
  },
  run: async ({ flags, library, stdin, stdout }) => {
    const filters = new Map(parseFilters(flags.filter, ['all', 'label', 'label!']));
    const all = flags.all || (filters.get('all') ?? []).some((text) => readBoolean('all', text));
    filters.delete('all');
    const question = `${all ? WARNING_ALL : WARNING}\nAre you sure you want to continue? [y/N] `;
    if (!flags.force && !(await confirm(question, stdin(), stdout))) return 0;
    const { names, sizeBytes } = await library.pruneVolumes(pruneTest(filters, Date.now()), { all });
    if (names.length > 0) stdout.write(`Deleted Volumes:\n${names.map((name) => `${name}\n`).join('')}\n`);
    stdout.write(`Total reclaimed space: ${formatSize(sizeBytes)}\n`);
    return 0;
  },
});

export const volume = defineGroup('volume', 'Manage volumes', {
  create: { summary: 'Create a volume', command: create },
  inspect: { summary: 'Display detailed information on one or more volumes', command: inspectVolume },
  ls: { summary: 'List volumes', command: ls },
  prune: { summary: 'Remove unused local volumes', command: prune },
  rm: { summary: 'Remove one or more volumes', command: rm },
});
