// ONBUILD. The names are the numbers and sentences of the list of behaviours (all.test.ts).

import { expect, test } from 'vitest';
import { buildImage } from '../support/built-image.ts';
import { freshStore } from '../support/stores.ts';

const base = 'FROM busybox AS base\nONBUILD RUN echo fired >> /f\nONBUILD LABEL on=build';

test('67. ONBUILD trigger fires for `FROM localstage` as well as images; not for grandchildren.', async () => {
  const store = freshStore();
  const stage = await buildImage(`${base}\nFROM base AS child\nRUN echo child >> /f`, { store });
  expect([stage.text('/f'), stage.config.Labels, stage.config.OnBuild]).toEqual(['fired\nchild', { on: 'build' }, undefined]);
  const grandchild = await buildImage(`${base}\nFROM base AS child\nFROM child\nRUN echo own >> /f`, { store });
  expect(grandchild.text('/f')).toBe('fired\nown');
  const image = await buildImage(base, { store, args: ['-t', 'base'] });
  expect(image.config.OnBuild).toEqual(['RUN echo fired >> /f', 'LABEL on=build']);
  expect(image.files.has('f')).toBe(false);
  const child = await buildImage('FROM base', { store, args: ['-t', 'child'] });
  expect([child.text('/f'), child.config.OnBuild]).toEqual(['fired', undefined]);
  expect((await buildImage('FROM child', { store })).text('/f')).toBe('fired');
});

test("68. ONBUILD COPY --from=name resolves against the *downstream* Dockerfile's stages.", async () => {
  const store = freshStore();
  await buildImage('FROM busybox\nONBUILD COPY --from=assets /f /taken', { store, args: ['-t', 'takes'] });
  const { text } = await buildImage('FROM busybox AS assets\nRUN echo downstream > /f\nFROM takes', { store });
  expect(text('/taken')).toBe('downstream');
});
