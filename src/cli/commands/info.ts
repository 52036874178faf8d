// `tbuild info`: where the store is, how layers are mounted and why, and what is in it.

import { availableParallelism, hostname, machine, release, totalmem } from 'node:os';
import { version } from '../../base/version.ts';
import type { OwnIds } from '../../native/serve.ts';
import { whatOneIdMeans } from '../../sandbox/user-namespace.ts';
import type { DriverChoice } from '../../snapshots/driver.ts';
import { defineCommand } from '../command.ts';
import type { StoreInfo } from '../library/library.ts';
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
      default: 'text',
      help: 'Format of the output: "text", "json", or a Go template',
    },
  },
  run: async ({ flags, library, stdout }) => {
    const store = await library.describeStore();
    if (flags.format === 'json') {
      stdout.write(`${JSON.stringify(documentOf(store), null, 2)}\n`);
      return 0;
    }
    if (flags.format !== 'text') {
      const { renderTemplate } = await import('../lists/go-template.ts');
      stdout.write(`${renderTemplate(flags.format, documentOf(store), { indent: 0 })}\n`);
      return 0;
    }
    const { running, paused, stopped } = store.containers;
    const rows: [string, string][] = [
      ['Version', version],
      ['Node.js', process.version],
      ['Kernel', release()],
      ['Store', store.root],
      ['Containers', `${running + paused + stopped} (${running} running, ${paused} paused, ${stopped} stopped)`],
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

/** tbuild's own names, and those that templates for docker ask for. */
function documentOf(store: StoreInfo): Readonly<Record<string, unknown>> {
  const { running, paused, stopped } = store.containers;
  return {
    version,
    node: process.version,
    kernel: release(),
    root: store.root,
    driver: store.driver,
    ids: store.ids,
    layers: store.layers,
    layersSizeBytes: store.layersSizeBytes,
    Name: hostname(),
    ServerVersion: version,
    DockerRootDir: store.root,
    Containers: running + paused + stopped,
    ContainersRunning: running,
    ContainersPaused: paused,
    ContainersStopped: stopped,
    images: store.images,
    OSType: 'linux',
    Architecture: machine(),
    KernelVersion: release(),
    NCPU: availableParallelism(),
    MemTotal: totalmem(),
    LoggingDriver: 'json-file',
  };
}

/** Of an account that is not root. */
function idsOf(ids: OwnIds): string {
  return ids.whyOne === null ? `${ids.uids} uids and ${ids.gids} gids of this account` : whatOneIdMeans(ids.whyOne);
}

function driverName({ driver, loop }: DriverChoice): string {
  return loop ? `${driver} through loop devices` : driver;
}
