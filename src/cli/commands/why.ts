// `tbuild why`: of the steps of a build, why they were executed; or of a build that is still to come, why they would be.

import { defineCommand } from '../command.ts';
import { describeSteps, jsonStep } from '../step-text.ts';

export const why = defineCommand({
  name: 'why',
  usage: '[OPTIONS] [STEP]',
  description:
    'Show of the steps of the last build whether they were cached, and if not, why; what they saw, how long they took, what they made. STEP is a number, words of the instruction, or the name of a stage',
  positionals: [0, 1],
  flags: {
    all: { short: 'a', help: 'List all that a step saw and made' },
    build: { value: 'string', help: 'Another build than the last one, by its ID' },
    format: {
      value: 'string',
      choices: ['text', 'json'],
      default: 'text',
      help: 'Format of the output: "text", or "json", one object a step',
    },
  },
  examples: [
    ['tbuild why', 'the last build, step by step'],
    ['tbuild why --all "npm ci"', 'one step, with everything it looked at'],
  ],
  run: async ({ flags, positionals: [step], library, stdout }) => {
    const { steps } = await library.describeBuild(flags.build, step);
    if (flags.format === 'json') stdout.write(steps.map((each) => `${JSON.stringify(jsonStep(each, flags.all))}\n`).join(''));
    else stdout.write(describeSteps(steps, { all: flags.all, isOne: step !== undefined }));
    return 0;
  },
});
