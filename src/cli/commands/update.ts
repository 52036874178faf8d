// `tbuild update`: other limits and another restart policy for containers, at once for those that run.

import { defineCommand } from '../command.ts';
import { containerFlags } from '../container-flags.ts';
import { eachAtOnce } from '../each.ts';
import { parseRestart } from '../values/lifecycle.ts';
import { parseContainerLimits } from '../values/limit.ts';

export const update = defineCommand({
  name: 'update',
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  description: 'Update configuration of one or more containers',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: {
    'blkio-weight': containerFlags['blkio-weight'],
    'cpu-period': containerFlags['cpu-period'],
    'cpu-quota': containerFlags['cpu-quota'],
    'cpu-rt-period': containerFlags['cpu-rt-period'],
    'cpu-rt-runtime': containerFlags['cpu-rt-runtime'],
    'cpu-shares': containerFlags['cpu-shares'],
    cpus: containerFlags.cpus,
    'cpuset-cpus': containerFlags['cpuset-cpus'],
    'cpuset-mems': containerFlags['cpuset-mems'],
    memory: containerFlags.memory,
    'memory-reservation': containerFlags['memory-reservation'],
    'memory-swap': containerFlags['memory-swap'],
    'pids-limit': containerFlags['pids-limit'],
    restart: { value: 'string', help: containerFlags.restart.help },
  },
  run: async ({ flags, positionals, library, ...surroundings }) => {
    const change = {
      limits: parseContainerLimits(flags),
      ...(flags.restart !== undefined && { restart: parseRestart(flags.restart) }),
    };
    return eachAtOnce(positionals, surroundings, (name) => library.updateContainer(name, change));
  },
});
