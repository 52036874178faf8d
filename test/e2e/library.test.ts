// The library's face: what the command does, through the bundle that programs import.

import { beforeAll, expect, test } from 'vitest';
import type * as Library from '../../src/index.ts';
import { makeContext } from '../support/contexts.ts';
import { freshStore } from '../support/stores.ts';

let tbuild: typeof Library;
let store: string;
beforeAll(async () => {
  tbuild = (await import(new URL('../../dist/index.cjs', import.meta.url).href)) as typeof Library;
  store = freshStore();
});

const options = (context: string, events: Library.BuildEvent[]): Library.BuildOptions => ({
  root: store,
  context,
  buildArgs: {},
  tags: ['from-a-program'],
  labels: { made: 'by hand' },
  noCache: false,
  secrets: [],
  network: 'default',
  outputs: [],
  onEvent: (event) => events.push(event),
  signal: new AbortController().signal,
});

test('builds with typed events, keeps the image, describes it', async () => {
  const events: Library.BuildEvent[] = [];
  const built = await tbuild.buildImage(options(makeContext({ Dockerfile: 'FROM busybox\nRUN echo hi\n' }), events));
  expect(built.names).toEqual(['from-a-program:latest']);
  expect(events.map(({ type }) => type)).toEqual(['plan', 'start', 'done', 'start', 'miss', 'output', 'done', 'result']);
  const place = await tbuild.openWorkplace(store);
  try {
    const image = new tbuild.Images(place.store, place.layers).resolve('from-a-program');
    expect(image.id).toBe(built.image);
    expect(tbuild.inspectImage(image)).toMatchObject({ Config: { Labels: { made: 'by hand' } } });
    expect(tbuild.imageHistory(image, place.layers)).toHaveLength(2);
    expect((await tbuild.checkStore(place)).problems).toEqual([]);
  } finally {
    await place.close();
  }
});

test('fails with a typed error that has its place', async () => {
  const events: Library.BuildEvent[] = [];
  const building = tbuild.buildImage(options(makeContext({ Dockerfile: 'FROM busybox\nRUN exit 3\n' }), events));
  await expect(building).rejects.toMatchObject({
    code: 'run/exit',
    exitCode: 1,
    details: { exitCode: 3 },
    where: { range: { startLine: 2 } },
  });
  expect(events.at(-1)).toMatchObject({ type: 'error', error: { code: 'run/exit' } });
});
