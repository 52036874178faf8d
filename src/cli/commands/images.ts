// `tbuild images`: the images of the store, the newest first, a row for each name.

import type { Image } from '../../images/image.ts';
import { familiarRepository, parseReference } from '../../oci/reference.ts';
import { defineCommand } from '../command.ts';
import { formatTable, shortId } from '../table.ts';
import { formatAge, formatSize } from '../units.ts';

export const images = defineCommand({
  name: 'images',
  usage: '[OPTIONS] [REPOSITORY[:TAG]]',
  description: 'List images',
  positionals: [0, 1],
  flags: {
    digests: { help: 'Show digests' },
    format: {
      value: 'string',
      choices: ['table', 'json'],
      default: 'table',
      help: 'Format of the output: "table", or "json", one object a line',
    },
    'no-trunc': { help: "Don't truncate output" },
    quiet: { short: 'q', help: 'Only show image IDs' },
  },
  run: async ({ flags, positionals: [filter], library, stdout }) => {
    const rows = (await library.listImages())
      .flatMap(rowsOf)
      .filter((row) => filter === undefined || isNamed(row, filter))
      .sort(newestFirst);
    const id = ({ image }: Row) => (flags['no-trunc'] ? image.id : shortId(image.id));
    if (flags.quiet) {
      stdout.write([...new Set(rows.map(id))].map((line) => `${line}\n`).join(''));
    } else if (flags.format === 'json') {
      const nowMs = Date.now();
      stdout.write(rows.map((row) => `${JSON.stringify(jsonRow(row, id(row), nowMs))}\n`).join(''));
    } else {
      stdout.write(tableOf(rows, id, flags.digests));
    }
    return 0;
  },
});

/** An image under one of its names; without a name, once. */
interface Row {
  readonly image: Image;
  /** As people write it; undefined: `<none>`. */
  readonly repository: string | undefined;
  readonly tag: string | undefined;
}

function rowsOf(image: Image): Row[] {
  if (image.names.length === 0) return [{ image, repository: undefined, tag: undefined }];
  return image.names.map((name) => {
    const reference = parseReference(name);
    return { image, repository: familiarRepository(reference), tag: reference.tag };
  });
}

const none = '<none>';

function tableOf(rows: readonly Row[], id: (row: Row) => string, hasDigests: boolean): string {
  const nowMs = Date.now();
  const header = ['REPOSITORY', 'TAG', ...(hasDigests ? ['DIGEST'] : []), 'IMAGE ID', 'CREATED', 'SIZE'];
  const cells = rows.map((row) => [
    row.repository ?? none,
    row.tag ?? none,
    ...(hasDigests ? [row.image.manifest ?? none] : []),
    id(row),
    formatAge(row.image.config.created, nowMs),
    formatSize(row.image.sizeBytes),
  ]);
  return formatTable(header, cells);
}

/** The names of docker's `--format json`. */
function jsonRow({ image, repository, tag }: Row, id: string, nowMs: number) {
  return {
    CreatedAt: image.config.created ?? 'N/A',
    CreatedSince: formatAge(image.config.created, nowMs),
    Digest: image.manifest ?? none,
    ID: id,
    Repository: repository ?? none,
    Size: formatSize(image.sizeBytes),
    Tag: tag ?? none,
  };
}

/** `app` is every tag of app, `app:1` that one. */
function isNamed({ repository, tag }: Row, filter: string): boolean {
  return repository === filter || `${repository}:${tag}` === filter;
}

/** By the time in the config, as docker; names in their order. */
function newestFirst(a: Row, b: Row): number {
  const [createdA, createdB] = [a, b].map(({ image }) => Date.parse(image.config.created ?? '') || 0);
  const [nameA, nameB] = [a, b].map(({ repository, tag }) => `${repository}:${tag}`);
  return createdB! - createdA! || (nameA! < nameB! ? -1 : 1);
}
