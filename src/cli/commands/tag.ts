// `tbuild tag`: gives an image one more name.

import { defineCommand } from '../command.ts';

export const tag = defineCommand({
  name: 'tag',
  usage: 'SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]',
  description: 'Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE',
  positionals: [2, 2],
  flags: {},
  run: async ({ positionals: [source, target], library }) => {
    await library.tagImage(source!, target!);
    return 0;
  },
});
