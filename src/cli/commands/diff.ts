// `tbuild diff`: which paths a container changed, or are different between trees of layers, in docker diff's form.

import { defineCommand } from '../command.ts';
import { oneLine } from '../text.ts';

export const diff = defineCommand({
  name: 'diff',
  usage: '[OPTIONS] CONTAINER\n        tbuild diff [OPTIONS] BEFORE [AFTER]',
  description:
    'Show which paths a container has added (A), changed (C), deleted (D), or which are different between two images, steps or layers. Of one of these alone: what its last layer changed',
  positionals: [1, 2],
  flags: {
    format: {
      value: 'string',
      choices: ['text', 'json'],
      default: 'text',
      help: 'Format of the output: "text", or "json", one object a line',
    },
  },
  examples: [
    ['tbuild diff web', 'what the container web has written'],
    ['tbuild diff debian:12 app', 'what app has that its base has not'],
    ['tbuild diff step:5', 'what the fifth step of the last build changed'],
    ['tbuild diff step:3f2251ad:5 step:5', 'the same step of two builds'],
  ],
  run: async ({ flags, positionals: [before, after], library, stdout }) => {
    const found = await library.diffTrees(before as string, after);
    const show = (each: (typeof found)[number]) =>
      flags.format === 'json' ? JSON.stringify(each) : `${each.kind} ${oneLine(each.path)}`;
    stdout.write(found.map((each) => `${show(each)}\n`).join(''));
    return 0;
  },
});
