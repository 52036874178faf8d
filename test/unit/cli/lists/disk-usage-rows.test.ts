import { describe, expect, it } from 'vitest';
import { diskUsageFormat, diskUsageRows, diskUsageTables } from '../../../../src/cli/lists/disk-usage-rows.ts';
import { formatRows } from '../../../../src/cli/lists/row-format.ts';
import type { DiskUsage } from '../../../../src/containers/disk-usage.ts';
import type { Image } from '../../../../src/images/image.ts';
import { idOf, nowMs, sampleListed } from '../../containers/sample.ts';

const image: Image = {
  id: `sha256:${idOf('c')}`,
  config: { architecture: 'amd64', os: 'linux', created: '2026-11-21T11:00:00Z', rootfs: { type: 'layers', diff_ids: [] } },
  configText: '',
  names: ['docker.io/library/app:1', 'docker.io/library/app:2'],
  layers: [],
  manifest: undefined,
  sizeBytes: 3_000_000,
  added: 0,
  tagged: 0,
};

const usage: DiskUsage = {
  images: [
    { image, sizeBytes: 3_000_000, sharedBytes: 1_000_000, containers: 1 },
    { image: { ...image, names: [] }, sizeBytes: 2_000_000, sharedBytes: 1_000_000, containers: 0 },
  ],
  imagesBytes: 4_000_000,
  containers: [
    sampleListed({}, { size: { writtenBytes: 1000, rootBytes: 3_001_000 } }),
    sampleListed({ state: { status: 'exited' } }, { size: { writtenBytes: 3000, rootBytes: 3_003_000 } }),
  ],
  volumes: [{ volume: { name: 'data' } as never, sizeBytes: 500, links: 0 }],
  cache: [
    {
      id: idOf('d'),
      type: 'regular',
      description: 'RUN x',
      sizeBytes: 2_000_000,
      lastUsed: nowMs - 60_000,
      isShared: false,
      isInUse: false,
    },
    {
      id: idOf('e'),
      type: 'regular',
      description: 'RUN y',
      sizeBytes: 9_000_000,
      lastUsed: nowMs,
      isShared: true,
      isInUse: false,
    },
  ],
};

describe('system df', () => {
  it('has a line for each kind, laid out as docker lays it out', () => {
    expect(formatRows('table', diskUsageFormat, diskUsageRows(usage))).toMatchInlineSnapshot(`
      "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE
      Images          2         1         4MB       2MB (50%)
      Containers      2         1         4kB       3kB (75%)
      Local Volumes   1         0         500B      500B (100%)
      Build Cache     2         0         2MB       2MB
      "
    `);
    expect(formatRows('{{.Type}}={{.Size}}', diskUsageFormat, diskUsageRows(usage))).toContain('Build Cache=2MB\n');
  });

  it('with -v has a table of each', () => {
    const text = diskUsageTables(usage, nowMs);
    expect(text).toContain('app          1         cccccccccccc   About an hour ago   3MB       1MB           2MB           1\n');
    expect(text).toContain('<none>       <none>');
    expect(text).toMatch(/\nContainers space usage:\n\nCONTAINER ID .*\naaaaaaaaaaaa .* 1kB /);
    expect(text).toContain('data          0         500B\n');
    expect(text).toMatch(/\nBuild cache usage: 2MB\n\nCACHE ID .*\ndddddddddddd +regular +2MB .* About a minute ago .* false\n/);
  });
});
