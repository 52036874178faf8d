// `tbuild version`. There is no daemon: client and server, as templates of docker's have them, are one.

import { release } from 'node:os';
import { version as current } from '../../base/version.ts';
import { hostPlatform } from '../../oci/platform.ts';
import { defineCommand } from '../command.ts';

export const version = defineCommand({
  name: 'version',
  usage: '[OPTIONS]',
  description: 'Show the version',
  positionals: [0, 0],
  flags: {
    format: { short: 'f', value: 'string', default: '', help: 'Format of the output: "json", or a Go template' },
  },
  run: async ({ flags, stdout }) => {
    if (flags.format === '') stdout.write(`tbuild ${current}\n`);
    else if (flags.format === 'json') stdout.write(`${JSON.stringify(documentOf())}\n`);
    else {
      const { renderTemplate } = await import('../lists/go-template.ts');
      stdout.write(`${renderTemplate(flags.format, documentOf(), { indent: 0 })}\n`);
    }
    return 0;
  },
});

function documentOf(): Readonly<Record<string, unknown>> {
  const both = { Version: current, Os: 'linux', Arch: hostPlatform().architecture };
  return {
    Client: { Platform: { Name: 'tbuild' }, ...both, NodeVersion: process.version, Context: 'default' },
    Server: { Platform: { Name: 'tbuild' }, ...both, KernelVersion: release(), Experimental: false },
  };
}
