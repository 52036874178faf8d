// `tbuild info`: where the store is, how layers are mounted and why, and what is in it.

import { release } from 'node:os';
import { version } from '../../base/version.ts';
import type { OwnIds } from '../../native/serve.ts';
import { whatOneIdMeans } from '../../sandbox/user-namespace.ts';
import type { DriverChoice } from '../../snapshots/driver.ts';
import { defineCommand } from '../command.ts';
import { formatSize } from '../units.ts';

export const info = defineCommand({
  name: 'info',
  usage: '[OPTIONS]',
  description: 'Display information about the store and the machine',
  positionals: [0, 0],
  flags: {
    format: {
      short: 'f',
      value: 'string',
      choices: ['text', 'json'],
      default: 'text',
      help: 'Format of the output: "text" or "json"',
    },
  },
  run: async ({ flags, library, stdout }) => {
    const store = await library.describeStore();
    if (flags.format === 'json') {
      stdout.write(`${JSON.stringify({ version, node: process.version, kernel: release(), ...store }, null, 2)}\n`);
      return 0;
    }
    const rows: [string, string][] = [
      ['Version', version],
      ['Node.js', process.version],
      ['Kernel', release()],
      ['Store', store.root],
      ['Images', String(store.images)],
      ['Layers', `${store.layers} (${formatSize(store.layersSizeBytes)})`],
      ...(store.ids ? [['Ids', idsOf(store.ids)] as [string, string]] : []),
      ['Layer driver', driverName(store.driver)],
    ];
    stdout.write(rows.map(([name, value]) => `${`${name}:`.padEnd(14)}${value}\n`).join(''));
    for (const reason of store.driver.reasons) stdout.write(`  ${reason}\n`);
    return 0;
  },
});

/** Of an account that is not root. */
function idsOf(ids: OwnIds): string {
  return ids.whyOne === null ? `${ids.uids} uids and ${ids.gids} gids of this account` : whatOneIdMeans(ids.whyOne);
}

function driverName({ driver, loop }: DriverChoice): string {
  return loop ? `${driver} through loop devices` : driver;
}
