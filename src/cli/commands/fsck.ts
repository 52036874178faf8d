// `tbuild fsck`: checks the store, and says what is wrong with it.

import { exitCodes } from '../../base/errors.ts';
import { defineCommand } from '../command.ts';
import { oneLine } from '../text.ts';

export const fsck = defineCommand({
  name: 'fsck',
  usage: '',
  description: 'Check blobs, layers, indexes and records of the store against each other',
  positionals: [0, 0],
  flags: {},
  run: async ({ library, stdout }) => {
    const { images, layers, blobs, problems } = await library.checkStore();
    for (const { what, path, hint } of problems) stdout.write(`${oneLine(path)}: ${oneLine(what)}\n  hint: ${hint}\n`);
    const verdict = problems.length === 0 ? 'no problems' : problems.length === 1 ? '1 problem' : `${problems.length} problems`;
    stdout.write(`checked ${images} images, ${layers} layers, ${blobs} blobs: ${verdict}\n`);
    return problems.length === 0 ? 0 : exitCodes.store;
  },
});
