// Images as rows of `images`: one for each name, as docker's columns (docker/cli cli/command/formatter/image.go). Pure.

import { indexDigest } from '../../images/describe.ts';
import type { Image, ImageIndex } from '../../images/image.ts';
import { formatPlatform } from '../../oci/platform.ts';
import { familiarRepository, parseReference } from '../../oci/reference.ts';
import { formatAge, formatSize, formatTime } from '../units.ts';
import type { Row, RowFormat } from './row-format.ts';
import { shortId } from './table.ts';

/** An image or an index under one of its names; without a name, once. */
export interface ImageRow {
  readonly id: string;
  readonly digest: string | undefined;
  readonly created: string | undefined;
  readonly sizeBytes: number;
  readonly platforms: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** As people write it; undefined: `<none>`. */
  readonly repository: string | undefined;
  readonly tag: string | undefined;
}

export function imageRows(listed: Image | ImageIndex): ImageRow[] {
  const row = 'config' in listed ? rowOfImage(listed) : rowOfIndex(listed);
  if (listed.names.length === 0) return [{ ...row, repository: undefined, tag: undefined }];
  const byRepository = Map.groupBy(listed.names.map(parseReference), familiarRepository);
  return [...byRepository].flatMap(([repository, references]) => {
    // By which its registry knows it: a row of its own only where it has no tag.
    const digest = references.find((reference) => reference.digest)?.digest ?? row.digest;
    const tags = references.flatMap(({ tag }) => tag ?? []);
    return (tags.length > 0 ? tags : [undefined]).map((tag) => ({ ...row, digest, repository, tag }));
  });
}

type SharedRow = Omit<ImageRow, 'repository' | 'tag'>;

function rowOfImage({ id, manifest, config, sizeBytes }: Image): SharedRow {
  const labels = config.config?.Labels ?? {};
  return { id, digest: manifest, created: config.created, sizeBytes, platforms: [formatPlatform(config)], labels };
}

/** As new as its newest image; layers that its images share are counted with each, as docker counts them. */
function rowOfIndex(index: ImageIndex): SharedRow {
  const { id, images: members } = index;
  const times = members.flatMap(({ image }) => image.config.created ?? []);
  return {
    id,
    digest: indexDigest(index),
    created: times.sort((a, b) => Date.parse(b) - Date.parse(a))[0],
    sizeBytes: members.reduce((sum, { image }) => sum + image.sizeBytes, 0),
    platforms: members.map(({ platform }) => formatPlatform(platform)),
    labels: members[0]?.image.config.config?.Labels ?? {},
  };
}

/** By the time in the config, as docker; names in their order. */
export function newestFirst(a: ImageRow, b: ImageRow): number {
  const [createdA, createdB] = [a, b].map(createdMs);
  const [nameA, nameB] = [a, b].map(({ repository, tag }) => `${repository}:${tag}`);
  return createdB! - createdA! || (nameA! < nameB! ? -1 : 1);
}

/** 0: nobody knows. */
export const createdMs = ({ created }: Pick<ImageRow, 'created'>): number => Date.parse(created ?? '') || 0;

export function imageFormat(hasDigests: boolean): RowFormat {
  const columns = ['Repository', 'Tag', ...(hasDigests ? ['Digest'] : []), 'ID', 'CreatedSince', 'Size'];
  return { table: columns.map((name) => `{{.${name}}}`).join('\t'), headers };
}

const headers = {
  ID: 'IMAGE ID',
  Repository: 'REPOSITORY',
  Tag: 'TAG',
  Digest: 'DIGEST',
  CreatedSince: 'CREATED',
  CreatedAt: 'CREATED AT',
  Size: 'SIZE',
  Containers: 'CONTAINERS',
  Platforms: 'PLATFORMS',
  VirtualSize: 'SIZE',
  SharedSize: 'SHARED SIZE',
  UniqueSize: 'UNIQUE SIZE',
};

const none = '<none>';

/** What only `system df` counts is not counted here. */
export function shownImage(row: ImageRow, { isWhole, nowMs }: { readonly isWhole: boolean; readonly nowMs: number }): Row {
  const { id, digest, created, sizeBytes, platforms, repository, tag } = row;
  return {
    ID: isWhole ? id : shortId(id),
    Repository: repository ?? none,
    Tag: tag ?? none,
    Digest: digest ?? none,
    CreatedSince: formatAge(created, nowMs),
    CreatedAt: createdMs(row) === 0 ? 'N/A' : formatTime(createdMs(row)),
    Size: formatSize(sizeBytes),
    Containers: 'N/A',
    Platforms: platforms,
    VirtualSize: formatSize(sizeBytes),
    SharedSize: 'N/A',
    UniqueSize: 'N/A',
  };
}
