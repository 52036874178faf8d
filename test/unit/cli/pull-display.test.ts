// How a pull is shown: docker's lines where they stay, and a line for each layer where they are redrawn.

import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { pullDisplay } from '../../../src/cli/pull-display.ts';
import type { Output } from '../../../src/cli/surroundings.ts';
import type { Image } from '../../../src/images/image.ts';
import type { PullEvent } from '../../../src/registry/pull.ts';

const [one, two] = [`sha256:${'1'.repeat(64)}`, `sha256:${'2'.repeat(64)}`] as const;
const layer = (digest: typeof one, size: number) => ({ mediaType: 'x', digest, size });
const events: readonly PullEvent[] = [
  { type: 'pulling', repository: 'library/debian', tag: '12' },
  { type: 'layers', layers: [layer(one, 100), layer(two, 2_000_000)] },
  { type: 'exists', layer: one },
  { type: 'progress', layer: two, bytes: 1_000_000 },
  { type: 'downloaded', layer: two },
  { type: 'complete', layer: two },
  { type: 'pulled', name: 'docker.io/library/debian:12', digest: one, image: {} as Image, isNew: true },
  { type: 'skipped', name: 'debian:sig', why: 'it is\n\u001b[31mno image' },
];

function shown(isTTY: boolean): string {
  let text = '';
  const write = (chunk: Buffer, _: unknown, done: () => void) => {
    text += chunk;
    done();
  };
  const output: Output = Object.assign(new Writable({ write }), { isTTY, columns: 100, rows: 24 });
  const display = pullDisplay(output);
  for (const event of events) display.show(event);
  display.end();
  return text;
}

it('as lines', () => {
  expect(shown(false)).toMatchInlineSnapshot(`
    "12: Pulling from library/debian
    111111111111: Pulling fs layer
    222222222222: Pulling fs layer
    111111111111: Already exists
    222222222222: Download complete
    222222222222: Pull complete
    Digest: sha256:1111111111111111111111111111111111111111111111111111111111111111
    Status: Downloaded newer image for debian:12
    debian:sig: Skipped: it isno image
    "
  `);
});

it('on a terminal', () => {
  const text = shown(true);
  expect(text).toContain('12: Pulling from library/debian\n');
  expect(text).toContain('111111111111: Waiting');
  expect(text).toContain('111111111111: Already exists');
  expect(text).toContain('222222222222: Pull complete');
  expect(text).toContain('Status: Downloaded newer image for debian:12\n');
  expect(text).not.toContain('\u001b[31m');
  // The cursor is back.
  expect(text.lastIndexOf('\u001b[?25h')).toBeGreaterThan(text.lastIndexOf('\u001b[?25l'));
});
