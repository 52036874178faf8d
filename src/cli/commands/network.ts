// `tbuild network`: docker's commands for networks, with its columns and its words (docker/cli cli/command/network).

import { isIPv4 } from 'node:net';
import { TbuildError } from '../../base/errors.ts';
import { defineCommand } from '../command.ts';
import { defineGroup } from '../command-group.ts';
import { confirm } from '../confirm.ts';
import { eachInTurn } from '../each.ts';
import { networkFilters, networkFormat, networkRow, networkTest } from '../lists/network-rows.ts';
import { formatHelp, formatRows } from '../lists/row-format.ts';
import { badArgument } from '../values/bad-argument.ts';
import { pairsOf } from '../values/env.ts';
import { filterFlag, parseFilters } from '../values/filter.ts';
import { pruneFilterFlag, pruneFilters, pruneTest } from '../values/prune.ts';
import { inspectNetwork } from './inspect.ts';

const create = defineCommand({
  name: 'network create',
  usage: '[OPTIONS] NETWORK',
  description: 'Create a network',
  positionals: [1, 1],
  flags: {
    attachable: { help: 'Enable manual container attachment (any container may join in any case)' },
    'aux-address': { value: 'map', repeated: true, help: 'Addresses that no container gets: NAME=ADDRESS' },
    driver: { short: 'd', value: 'string', default: 'bridge', help: 'Driver to manage the Network (there is only "bridge")' },
    gateway: { value: 'strings', repeated: true, help: 'IPv4 or IPv6 Gateway for the subnet' },
    internal: { help: 'Restrict external access to the network' },
    'ip-range': { value: 'strings', repeated: true, help: 'Allocate container ip from a sub-range' },
    ipv6: { help: 'Enable IPv6 address assignment' },
    label: { value: 'list', repeated: true, help: 'Set metadata on a network' },
    opt: { short: 'o', value: 'map', repeated: true, help: 'Set driver specific options' },
    subnet: { value: 'strings', repeated: true, help: 'Subnet in CIDR format that represents a network segment' },
  },
  examples: [
    ['tbuild network create app', 'containers find each other in it by name'],
    ['tbuild network create --subnet 10.20.0.0/24 --internal db', 'addresses can be asked for; nothing leads outside'],
  ],
  run: async ({ flags, positionals: [name = ''], library, stdout }) => {
    if (flags.driver !== 'bridge')
      throw new TbuildError(
        'unsupported/network',
        `could not find plugin ${flags.driver} in v1 plugin registry: plugin not found`,
      );
    const { id } = await library.createNetwork({
      name,
      subnets: listed(flags.subnet),
      gateways: listed(flags.gateway),
      ranges: listed(flags['ip-range']),
      reserved: pairsOf(flags['aux-address']),
      ipv6: flags.ipv6,
      internal: flags.internal,
      attachable: flags.attachable,
      labels: pairsOf(flags.label),
      options: pairsOf(flags.opt),
    });
    stdout.write(`${id}\n`);
    return 0;
  },
});

/** Several may stand in one, with commas between (pflag's StringSlice). */
const listed = (texts: readonly string[]) => texts.flatMap((text) => text.split(',')).filter((text) => text !== '');

const ls = defineCommand({
  name: 'network ls',
  usage: '[OPTIONS]',
  description: 'List networks',
  positionals: [0, 0],
  flags: {
    filter: { ...filterFlag, help: 'Provide filter values (e.g. "driver=bridge")' },
    format: { value: 'string', default: 'table', help: formatHelp },
    'no-trunc': { help: 'Do not truncate the output' },
    quiet: { short: 'q', help: 'Only display network IDs' },
  },
  run: async ({ flags, library, stdout }) => {
    const isMeant = networkTest(parseFilters(flags.filter, networkFilters));
    const rows = (await library.listNetworks()).filter(isMeant).map(({ network }) => networkRow(network, flags['no-trunc']));
    stdout.write(formatRows(flags.quiet ? '{{.ID}}' : flags.format, networkFormat, rows));
    return 0;
  },
});

const connect = defineCommand({
  name: 'network connect',
  usage: '[OPTIONS] NETWORK CONTAINER',
  description: 'Connect a container to a network',
  positionals: [2, 2],
  flags: {
    alias: { value: 'strings', repeated: true, help: 'Add network-scoped alias for the container' },
    ip: { value: 'string', help: 'IPv4 address (e.g., "172.30.100.104")' },
  },
  run: async ({ flags, positionals: [network = '', container = ''], library }) => {
    const { alias: aliases, ip } = flags;
    if (ip !== undefined && !isIPv4(ip)) throw badArgument('--ip', ip, `invalid IPv4 address: ${ip}`);
    await library.connectNetwork(network, container, { aliases: listed(aliases), ...(ip !== undefined && { address: ip }) });
    return 0;
  },
});

const disconnect = defineCommand({
  name: 'network disconnect',
  usage: '[OPTIONS] NETWORK CONTAINER',
  description: 'Disconnect a container from a network',
  positionals: [2, 2],
  flags: { force: { short: 'f', help: 'Force the container to disconnect from a network' } },
  run: async ({ flags, positionals: [network = '', container = ''], library }) => {
    await library.disconnectNetwork(network, container, { force: flags.force });
    return 0;
  },
});

const rm = defineCommand({
  name: 'network rm',
  usage: 'NETWORK [NETWORK...]',
  description: 'Remove one or more networks',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: { force: { short: 'f', help: 'Do not error if the network does not exist' } },
  run: async ({ flags, positionals, library, stdout, ...surroundings }) =>
    eachInTurn(positionals, surroundings, async (name) => {
      try {
        await library.removeNetwork(name);
      } catch (error) {
        if (flags.force && error instanceof TbuildError && error.code === 'network/unknown') return;
        throw error;
      }
      stdout.write(`${name}\n`);
    }),
});

const prune = defineCommand({
  name: 'network prune',
  usage: '[OPTIONS]',
  description: 'Remove all unused networks',
  positionals: [0, 0],
  flags: {
    filter: pruneFilterFlag,
    force: { short: 'f', help: 'Do not prompt for confirmation' },
  },
  run: async ({ flags, library, stdin, stdout }) => {
    const isMeant = pruneTest(parseFilters(flags.filter, pruneFilters), Date.now());
    const question =
      'WARNING! This will remove all custom networks not used by at least one container.\nAre you sure you want to continue? [y/N] ';
    if (!flags.force && !(await confirm(question, stdin(), stdout))) return 0;
    const names = await library.pruneNetworks(isMeant);
    if (names.length > 0) stdout.write(`Deleted Networks:\n${names.map((name) => `${name}\n`).join('')}\n`);
    return 0;
  },
});

export const network = defineGroup('network', 'Manage networks', {
  connect: { summary: 'Connect a container to a network', command: connect },
  create: { summary: 'Create a network', command: create },
  disconnect: { summary: 'Disconnect a container from a network', command: disconnect },
  inspect: { summary: 'Display detailed information on one or more networks', command: inspectNetwork },
  ls: { summary: 'List networks', command: ls },
  prune: { summary: 'Remove all unused networks', command: prune },
  rm: { summary: 'Remove one or more networks', command: rm },
});
