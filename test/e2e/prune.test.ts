// What the build cache takes, how it is made smaller, and that nothing anybody needs goes with it.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { makeContext, writeFiles } from '../support/contexts.ts';
import { build } from '../support/events.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

const app = {
  Dockerfile: [
    'FROM busybox',
    'COPY input /',
    'RUN --mount=type=cache,id=kept,target=/c dd if=/dev/zero of=/c/x bs=1M count=2 && cp /input /made',
    'RUN dd if=/dev/urandom of=/large bs=1M count=2',
  ].join('\n'),
  input: 'one',
};

interface Row {
  readonly ID: string;
  readonly Type: string;
  readonly Description: string;
  readonly Size: number;
  readonly Reclaimable: boolean;
  readonly Shared: boolean;
}

const du = async (store: string): Promise<Row[]> =>
  (await tbuildOk(['du', '--format', 'json'], { store }))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Row);

const layerFiles = (store: string) => readdirSync(path.join(store, 'layers')).length;

describe('du', () => {
  test('says of each thing what it is, what it takes, and whether it can go', async () => {
    const store = freshStore();
    await build([makeContext(app), '-t', 'app'], { store });
    const rows = await du(store);
    const large = rows.find(({ Description }) => Description.startsWith('RUN dd if=/dev/urandom'));
    expect(large).toMatchObject({ Type: 'regular', Reclaimable: false, Shared: true });
    expect(large?.Size).toBeGreaterThanOrEqual(2 << 20);
    const cache = rows.find(({ Type }) => Type === 'exec.cachemount');
    expect(cache).toMatchObject({ Description: 'cache mount kept', Reclaimable: true });
    expect(cache?.Size).toBeGreaterThanOrEqual(2 << 20);
    const table = await tbuildOk(['du', '--filter', 'type=regular'], { store });
    expect(table).toMatch(/^ID +TYPE +RECLAIMABLE +SIZE +LAST USED +DESCRIPTION\n/);
    expect(table).toMatch(/Reclaimable: +0B\nTotal: +2\.\d+MB\n$/);
  });
});

describe('prune', () => {
  test('takes what no named image has; the image runs, and what it shares is cached still', async () => {
    const store = freshStore();
    const context = makeContext(app);
    await build([context, '-t', 'app'], { store });
    writeFiles(context, { input: 'two' });
    await build([context, '-t', 'app'], { store });
    const said = await tbuildOk(['prune', '--force'], { store });
    expect(said).toMatch(/an image without a name/);
    expect(said).toMatch(/Total reclaimed space: [4-6]\.?\d*MB\n$/);
    expect(await du(store).then((rows) => rows.filter(({ Reclaimable }) => Reclaimable))).toEqual([]);
    expect((await build([context, '-t', 'app'], { store })).ran).toEqual([]);
    expect(await tbuildOk(['run', '--rm', 'app', 'cat', '/made'], { store })).toBe('two');
    writeFiles(context, { input: 'one' });
    expect((await build([context, '-t', 'app'], { store })).ran).toHaveLength(3);
    expect(await tbuildOk(['fsck'], { store })).toContain('no problems');
  });

  test('with --all the image is there and whole, and everything is built again', async () => {
    const store = freshStore();
    const context = makeContext(app);
    await build([context, '-t', 'app'], { store });
    await tbuildOk(['prune', '--all', '--force'], { store });
    expect(await du(store)).toEqual([]);
    expect(await tbuildOk(['run', '--rm', 'app', 'cat', '/made'], { store })).toBe('one');
    expect((await build([context, '-t', 'app'], { store })).ran).toHaveLength(3);
    expect(await tbuildOk(['fsck'], { store })).toContain('no problems');
  });

  test('takes no more than a limit asks for, the longest unused first', async () => {
    const store = freshStore();
    const context = makeContext({
      Dockerfile: 'FROM busybox\nCOPY input /\nRUN cat /input && dd if=/dev/urandom of=/l bs=1M count=2',
      input: '1',
    });
    for (const input of ['1', '2', '3']) {
      writeFiles(context, { input });
      await build([context], { store });
    }
    await tbuildOk(['prune', '--force', '--filter', 'type=image'], { store });
    const used = (await du(store)).reduce((bytes, { Size }) => bytes + Size, 0);
    await tbuildOk(['prune', '--force', '--max-used-space', `${used - 1_000_000}`, '--filter', 'type=regular'], { store });
    expect((await du(store)).filter(({ Type, Size }) => Type === 'regular' && Size > 1 << 20)).toHaveLength(2);
    writeFiles(context, { input: '3' });
    expect((await build([context], { store })).ran).toEqual([]);
    writeFiles(context, { input: '1' });
    expect((await build([context], { store })).ran).toHaveLength(2);
  });

  test('a build that runs meanwhile loses nothing that it has found', async () => {
    const store = freshStore();
    const context = makeContext({
      ...app,
      Dockerfile: `${app.Dockerfile}\nRUN sleep 3; test -s /large && cp /made /last`,
    });
    await build([context, '--target', '0'], { store }).catch(() => {});
    const first = makeContext(app);
    await build([first], { store });
    const before = layerFiles(store);
    const building = build([context, '-t', 'late'], { store });
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await tbuildOk(['prune', '--all', '--force'], { store });
    expect(layerFiles(store)).toBeGreaterThanOrEqual(before);
    expect((await building).ran).toHaveLength(1);
    expect(await tbuildOk(['run', '--rm', 'late', 'cat', '/last'], { store })).toBe('one');
    expect(await tbuildOk(['fsck'], { store })).toContain('no problems');
  });

  test('a cache mount that a step works in stays', async () => {
    const store = freshStore();
    const context = makeContext({
      Dockerfile: 'FROM busybox\nRUN --mount=type=cache,target=/c touch /c/x && sleep 3 && test -e /c/x',
    });
    const building = build([context], { store });
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(await tbuildOk(['prune', '--all', '--force'], { store })).not.toContain('exec.cachemount');
    await building;
  });

  test('a flag that means nothing is an error that says what does', async () => {
    const { code, stderr } = await tbuild(['prune', '--filter', 'label=x'], { store: freshStore() });
    expect([code, stderr]).toEqual([
      2,
      'error: --filter takes until=…, type=… or id=…, not "label=x"\nhint: see tbuild prune --help\n',
    ]);
  });
});

describe('the budget', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'tbuild-budget-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const config = (text: string) => {
    writeFileSync(path.join(folder, 'tbuild.toml'), text);
    return { TBUILD_CONFIG: path.join(folder, 'tbuild.toml') };
  };

  test('is kept after a build that made something', async () => {
    const store = freshStore();
    const context = makeContext(app);
    const env = config('[gc]\nreservedSpace = "1MB"\nmaxUsedSpace = "8MB"\n');
    for (const input of ['1', '2', '3', '4']) {
      writeFiles(context, { input });
      await tbuildOk(['-t', 'app', context], { store, env });
    }
    const sum = (await du(store)).reduce((bytes, { Size }) => bytes + Size, 0);
    expect(sum).toBeLessThan(8 << 20);
    expect(await tbuildOk(['run', '--rm', 'app', 'cat', '/made'], { store })).toBe('4');
  });

  test('that cannot be read is said, and the image is there', async () => {
    const store = freshStore();
    const { code, stderr } = await tbuild(['-t', 'app', makeContext(app)], { store, env: config('[gc]\nreserved = 1\n') });
    expect(code).toBe(0);
    expect(stderr).toContain('the build cache was not kept within its budget: ');
    expect(stderr).toContain('[gc] has no setting reserved');
  });
});
