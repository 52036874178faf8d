// `tbuild shell`: a shell where the last RUN failed or a step has ended, or a command there.

import { defineCommand } from '../command.ts';
import { containerExitCode } from '../container-exit-code.ts';
import { parseSecret } from '../values/build.ts';
import { runtimeOf } from '../values/runtime.ts';

export const shell = defineCommand({
  name: 'shell',
  usage: '[OPTIONS] [COMMAND] [ARG...]',
  description:
    'Open a shell where the last RUN failed, or a step has ended: with its files, mounts, environment, user and directory. What is done there is not kept',
  positionals: [0, Number.POSITIVE_INFINITY],
  stopAtPositional: true,
  flags: {
    at: {
      value: 'step',
      default: 'fail',
      help: 'Where: the RUN that failed last ("fail"), or a step of the last build ("5", "npm ci") or another ("BUILD:5")',
    },
    network: { value: 'string', choices: ['default', 'host', 'none'], default: 'default', help: 'As in the build' },
    runtime: { value: 'string', help: 'As in the build' },
    secret: { value: 'stringArray', repeated: true, help: 'As in the build: secrets are not kept' },
    ssh: { value: 'stringArray', repeated: true, help: 'As in the build: agents are not kept' },
    userns: { value: 'string', choices: ['auto', 'host'], default: 'auto', help: 'As in the build' },
  },
  examples: [
    ['tbuild shell', 'look around'],
    ['tbuild shell --at "npm ci"', 'where that step has ended'],
    ['tbuild shell cat /app/npm-debug.log', 'one command'],
  ],
  run: async ({ flags, positionals, library, env, stdin, stdout }) => {
    const { columns: width, rows: height } = stdout;
    const terminal = stdin().isTTY === true && stdout.isTTY === true;
    const ssh = flags.ssh.length > 0 ? flags.ssh.map((await import('../values/build-run.ts')).parseSsh) : [];
    return library.openShell({
      at: flags.at === 'fail' ? 'fail' : `step:${flags.at.replace(/^step:/, '')}`,
      command: positionals,
      terminal,
      ...(terminal && width && height && { terminalSize: { width, height } }),
      secrets: flags.secret.map((text) => parseSecret(text, env)),
      ssh,
      network: flags.network as 'default' | 'host' | 'none',
      ...runtimeOf(flags.runtime, env),
      ...(flags.userns === 'host' && { userns: 'host' as const }),
    });
  },
  exitCodeOf: containerExitCode,
});
