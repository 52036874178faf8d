// `tbuild why`: of the steps of a build, why they were executed; or of a build that is still to come, why they would be.

import { TbuildError } from '../../base/errors.ts';
import type { DryStep } from '../../build/dry-run.ts';
import { defineCommand, type Invocation } from '../command.ts';
import type { FlagTable } from '../flags.ts';
import { interruptible } from '../interruption.ts';
import { describeSteps, jsonStep } from '../step-text.ts';
import { oneLine } from '../text.ts';
import { flagTable as buildFlags, buildOptions } from './build.ts';

/** Those of build, which --dry-run takes too; its help has them. */
const hiddenFlags = Object.fromEntries(
  Object.entries(buildFlags).map(([name, flag]) => [name, { ...flag, hidden: true }]),
) as unknown as typeof buildFlags;

const ownFlags = {
  all: { short: 'a', help: 'List all that a step saw and made' },
  build: { value: 'string', help: 'Another build than the last one, by its ID' },
  'dry-run': { help: 'Say what "tbuild build" would execute with the same arguments, and why. Nothing is executed or kept' },
  format: {
    value: 'string',
    choices: ['text', 'json'],
    default: 'text',
    help: 'Format of the output: "text", or "json", one object a step',
  },
} as const satisfies FlagTable;

const flags = { ...hiddenFlags, ...ownFlags };

export const why = defineCommand({
  name: 'why',
  usage: '[OPTIONS] [STEP]',
  description:
    'Show of the steps of the last build whether they were cached, and if not, why; what they saw, how long they took, what they made. STEP is a number, words of the instruction, or the name of a stage. With --dry-run, whatever "tbuild build" takes',
  positionals: [0, 1],
  flags,
  examples: [
    ['tbuild why', 'the last build, step by step'],
    ['tbuild why --all "npm ci"', 'one step, with everything it looked at'],
    ['tbuild why --dry-run -t app .', 'before it is built'],
  ],
  run: async (invocation) => {
    if (invocation.flags['dry-run']) return showDryRun(invocation);
    const { positionals, library, stdout } = invocation;
    const { all, build, format } = invocation.flags;
    const { steps } = await library.describeBuild(build, positionals[0]);
    if (format === 'json') stdout.write(steps.map((step) => `${JSON.stringify(jsonStep(step, all))}\n`).join(''));
    else stdout.write(describeSteps(steps, { all, isOne: positionals[0] !== undefined }));
    return 0;
  },
});

async function showDryRun(invocation: Invocation<typeof flags>): Promise<number> {
  const { positionals, library, stdout } = invocation;
  if (positionals.length === 0) {
    throw new TbuildError('usage/arguments', 'there is no context: tbuild why --dry-run takes what tbuild build takes', {
      hint: 'as in tbuild why --dry-run .',
    });
  }
  const options = await buildOptions(invocation);
  const steps = await interruptible((signal) => library.dryRun({ ...options, signal }));
  if (invocation.flags.format === 'json') stdout.write(steps.map((step) => `${JSON.stringify(step)}\n`).join(''));
  else stdout.write(steps.map(dryText).join(''));
  return 0;
}

function dryText({ number, name, how, why: reason, on = [] }: DryStep): string {
  const what = {
    cached: 'cached',
    'would-run': `would run: ${reason?.text ?? 'no earlier result holds'}`,
    depends: `runs unless ${on.map((step) => `\`${step}\``).join(' and ')} makes what it made before`,
  }[how];
  return `#${number} ${oneLine(name.replaceAll(/\s+/g, ' '))}\n   ${oneLine(what)}\n`;
}
