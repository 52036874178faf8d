// `tbuild images`: the images of the store, the newest first, a row for each name.

import { indexDigest } from '../../images/describe.ts';
import type { Image, ImageIndex } from '../../images/image.ts';
import { formatPlatform } from '../../oci/platform.ts';
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
      .flatMap((listed) => rowsOf(listed))
      .filter((row) => filter === undefined || isNamed(row, filter))
      .sort(newestFirst);
    const id = ({ id: whole }: Row) => (flags['no-trunc'] ? whole : shortId(whole));
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

/** An image or an index under one of its names; without a name, once. */
interface Row {
  readonly id: string;
  readonly digest: string | undefined;
  readonly created: string | undefined;
  readonly sizeBytes: number;
  readonly platforms: readonly string[];
  /** As people write it; undefined: `<none>`. */
  readonly repository: string | undefined;
  readonly tag: string | undefined;
}

function rowsOf(listed: Image | ImageIndex): Row[] {
  const row = 'config' in listed ? imageRow(listed) : indexRow(listed);
  if (listed.names.length === 0) return [{ ...row, repository: undefined, tag: undefined }];
  const byRepository = Map.groupBy(listed.names.map(parseReference), familiarRepository);
  return [...byRepository].flatMap(([repository, references]) => {
    // By which its registry knows it: a row of its own only where it has no tag.
    const digest = references.find((reference) => reference.digest)?.digest ?? row.digest;
    const tags = references.flatMap(({ tag }) => tag ?? []);
    return (tags.length > 0 ? tags : [undefined]).map((tag) => ({ ...row, digest, repository, tag }));
  });
}

type SharedRow = Omit<Row, 'repository' | 'tag'>;

function imageRow({ id, manifest, config, sizeBytes }: Image): SharedRow {
  return { id, digest: manifest, created: config.created, sizeBytes, platforms: [formatPlatform(config)] };
}

/** As new as its newest image; layers that its images share are counted with each, as docker counts them. */
function indexRow(index: ImageIndex): SharedRow {
  const { id, images: members } = index;
  const times = members.flatMap(({ image }) => image.config.created ?? []);
  return {
    id,
    digest: indexDigest(index),
    created: times.sort((a, b) => Date.parse(b) - Date.parse(a))[0],
    sizeBytes: members.reduce((sum, { image }) => sum + image.sizeBytes, 0),
    platforms: members.map(({ platform }) => formatPlatform(platform)),
  };
}

const none = '<none>';

function tableOf(rows: readonly Row[], id: (row: Row) => string, hasDigests: boolean): string {
  const nowMs = Date.now();
  const header = ['REPOSITORY', 'TAG', ...(hasDigests ? ['DIGEST'] : []), 'IMAGE ID', 'CREATED', 'SIZE'];
  const cells = rows.map((row) => [
    row.repository ?? none,
    row.tag ?? none,
    ...(hasDigests ? [row.digest ?? none] : []),
    id(row),
    formatAge(row.created, nowMs),
    formatSize(row.sizeBytes),
  ]);
  return formatTable(header, cells);
}

/** The names of docker's `--format json`, and the platforms. */
function jsonRow({ created, digest, sizeBytes, platforms, repository, tag }: Row, id: string, nowMs: number) {
  return {
    CreatedAt: created ?? 'N/A',
    CreatedSince: formatAge(created, nowMs),
    Digest: digest ?? none,
    ID: id,
    Platforms: platforms,
    Repository: repository ?? none,
    Size: formatSize(sizeBytes),
    Tag: tag ?? none,
  };
}

/** `app` is every tag of app, `app:1` that one. */
function isNamed({ repository, tag }: Row, filter: string): boolean {
  return repository === filter || `${repository}:${tag}` === filter;
}

/** By the time in the config, as docker; names in their order. */
function newestFirst(a: Row, b: Row): number {
  const [createdA, createdB] = [a, b].map(({ created }) => Date.parse(created ?? '') || 0);
  const [nameA, nameB] = [a, b].map(({ repository, tag }) => `${repository}:${tag}`);
  return createdB! - createdA! || (nameA! < nameB! ? -1 : 1);
}
