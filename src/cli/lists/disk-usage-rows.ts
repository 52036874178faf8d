// `system df` as docker lays it out (docker/cli cli/command/formatter/disk_usage.go): a line for each kind of thing, or with -v a table of each. Pure.

import { isAlive } from '../../containers/containers.ts';
import type { DiskUsage, ImageUsage } from '../../containers/disk-usage.ts';
import { isReclaimable } from '../../upkeep/prune.ts';
import type { UsageItem } from '../../upkeep/usage.ts';
import { formatAge, formatTotalSize } from '../units.ts';
import { containerRow } from './container-rows.ts';
import { imageRows, shownImage } from './image-rows.ts';
import { formatRows, type Row, type RowFormat } from './row-format.ts';

export const diskUsageFormat: RowFormat = {
  table: '{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}',
  headers: { Type: 'TYPE', TotalCount: 'TOTAL', Active: 'ACTIVE', Size: 'SIZE', Reclaimable: 'RECLAIMABLE' },
};

export function diskUsageRows({ images, imagesBytes, containers, volumes, cache }: DiskUsage): Row[] {
  const usedImages = images.filter((image) => image.containers > 0);
  const imagesInUse = sum(usedImages.map(({ sizeBytes, sharedBytes }) => sizeBytes - sharedBytes));
  const written = containers.map(({ state, size }) => ({ isUsed: isAlive(state.status), bytes: size?.writtenBytes ?? 0 }));
  const kept = volumes.map(({ links, sizeBytes }) => ({ isUsed: links > 0, bytes: sizeBytes }));
  const cached = cache.filter(({ isShared }) => !isShared);
  return [
    row('Images', images.length, usedImages.length, imagesBytes, imagesBytes - imagesInUse),
    row('Containers', written.length, written.filter(({ isUsed }) => isUsed).length, ...usedAndFree(written)),
    row('Local Volumes', kept.length, kept.filter(({ isUsed }) => isUsed).length, ...usedAndFree(kept)),
    {
      ...row('Build Cache', cache.length, cache.filter(({ isInUse }) => isInUse).length, sum(cached.map(bytesOf)), 0),
      Reclaimable: formatTotalSize(sum(cached.filter(isReclaimable).map(bytesOf))),
    },
  ];
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, number) => all + number, 0);
const bytesOf = ({ sizeBytes }: UsageItem): number => sizeBytes;

function usedAndFree(things: readonly { readonly isUsed: boolean; readonly bytes: number }[]): [number, number] {
  return [sum(things.map(({ bytes }) => bytes)), sum(things.filter(({ isUsed }) => !isUsed).map(({ bytes }) => bytes))];
}

function row(type: string, count: number, active: number, sizeBytes: number, freeBytes: number): Row {
  const share = sizeBytes > 0 ? ` (${Math.floor((freeBytes * 100) / sizeBytes)}%)` : '';
  return {
    Type: type,
    TotalCount: String(count),
    Active: String(active),
    Size: formatTotalSize(sizeBytes),
    Reclaimable: formatTotalSize(freeBytes) + share,
  };
}

/** With a line for each thing. */
export function diskUsageTables(usage: DiskUsage, nowMs: number): string {
  const { images, containers, volumes, cache } = usage;
  const total = formatTotalSize(sum(cache.filter(({ isShared }) => !isShared).map(bytesOf)));
  return [
    `Images space usage:\n\n${formatRows(
      'table',
      imageFormat,
      images.map((image) => shownImageUsage(image, nowMs)),
    )}`,
    `Containers space usage:\n\n${formatRows(
      'table',
      containersFormat,
      containers.map((listed) => shownContainer(listed, nowMs)),
    )}`,
    `Local Volumes space usage:\n\n${formatRows(
      'table',
      volumeFormat,
      volumes.map(({ volume, links, sizeBytes }) => ({
        Name: volume.name,
        Links: String(links),
        Size: formatTotalSize(sizeBytes),
      })),
    )}`,
    `Build cache usage: ${total}\n\n${formatRows(
      'table',
      cacheFormat,
      cache.map((item) => shownItem(item, nowMs)),
    )}`,
  ].join('\n');
}

const imageFormat: RowFormat = {
  table: '{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}',
  headers: {
    Repository: 'REPOSITORY',
    Tag: 'TAG',
    ID: 'IMAGE ID',
    CreatedSince: 'CREATED',
    Size: 'SIZE',
    SharedSize: 'SHARED SIZE',
    UniqueSize: 'UNIQUE SIZE',
    Containers: 'CONTAINERS',
  },
};

/** Under its first name only. */
function shownImageUsage({ image, sizeBytes, sharedBytes, containers }: ImageUsage, nowMs: number): Row {
  return {
    ...shownImage(imageRows(image)[0]!, { isWhole: false, nowMs }),
    SharedSize: formatTotalSize(sharedBytes),
    UniqueSize: formatTotalSize(sizeBytes - sharedBytes),
    Containers: String(containers),
  };
}

const containersFormat: RowFormat = {
  table: '{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}',
  headers: {
    ID: 'CONTAINER ID',
    Image: 'IMAGE',
    Command: 'COMMAND',
    LocalVolumes: 'LOCAL VOLUMES',
    Size: 'SIZE',
    RunningFor: 'CREATED',
    Status: 'STATUS',
    Names: 'NAMES',
  },
};

/** The image below it is counted with the images. */
function shownContainer(listed: DiskUsage['containers'][number], nowMs: number): Row {
  const size = { writtenBytes: listed.size?.writtenBytes ?? 0, rootBytes: 0 };
  return containerRow({ ...listed, size }, { isWhole: false, nowMs });
}

const volumeFormat: RowFormat = {
  table: '{{.Name}}\t{{.Links}}\t{{.Size}}',
  headers: { Name: 'VOLUME NAME', Links: 'LINKS', Size: 'SIZE' },
};

const cacheFormat: RowFormat = {
  table: '{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}',
  headers: {
    ID: 'CACHE ID',
    CacheType: 'CACHE TYPE',
    Size: 'SIZE',
    CreatedSince: 'CREATED',
    LastUsedSince: 'LAST USED',
    UsageCount: 'USAGE',
    Shared: 'SHARED',
  },
};

/** When it was made, and how often it was of use, nobody counts. */
function shownItem({ id, type, sizeBytes, lastUsed, isShared }: UsageItem, nowMs: number): Row {
  return {
    ID: id.slice(0, 12),
    CacheType: type,
    Size: formatTotalSize(sizeBytes),
    CreatedSince: 'N/A',
    LastUsedSince: formatAge(new Date(lastUsed).toISOString(), nowMs),
    UsageCount: 'N/A',
    Shared: String(isShared),
  };
}
