// `tbuild attach`: this terminal, joined to a container that runs. Exits as the container does; 0 when it is left with the detach keys.

import { defineCommand } from '../command.ts';

export const attach = defineCommand({
  name: 'attach',
  usage: '[OPTIONS] CONTAINER',
  description: 'Attach local standard input, output, and error streams to a running container',
  positionals: [1, 1],
  flags: {
    'detach-keys': { value: 'string', help: 'Override the key sequence for detaching a container' },
    'no-stdin': { help: 'Do not attach STDIN' },
    'sig-proxy': { default: 'true', help: 'Proxy all received signals to the process' },
  },
  run: async ({ flags, positionals: [container], library }) =>
    library.attachToContainer(container as string, {
      detachKeys: flags['detach-keys'],
      noStdin: flags['no-stdin'],
      sigProxy: flags['sig-proxy'],
    }),
});
