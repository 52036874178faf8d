// `tbuild inspect`: what is known of images, as the JSON array docker prints.

import { defineCommand } from '../command.ts';
import type { ImageDetails } from '../library.ts';

export const inspect = defineCommand({
  name: 'inspect',
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  description: 'Return low-level information on images',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: {
    format: { short: 'f', value: 'string', choices: ['json'], default: 'json', help: 'Format of the output' },
  },
  run: async ({ positionals, library, stdout }) => {
    const documents = [];
    for (const name of positionals) documents.push(documentOf(await library.describeImage(name)));
    stdout.write(`${JSON.stringify(documents, null, 4)}\n`);
    return 0;
  },
});

function documentOf({ id, digest, names, config, layerSizesBytes }: ImageDetails) {
  return {
    Id: id,
    RepoTags: names,
    RepoDigests: names.map((name) => `${name.replace(/:[^:/]*$/, '')}@${digest}`),
    Created: config.created,
    Author: config.author ?? '',
    Config: config.config ?? {},
    Architecture: config.architecture,
    ...(config.variant !== undefined && { Variant: config.variant }),
    Os: config.os,
    Size: layerSizesBytes.reduce((sum, size) => sum + size, 0),
    RootFS: { Type: config.rootfs.type, Layers: config.rootfs.diff_ids },
  };
}
