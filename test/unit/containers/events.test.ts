import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { recordEvent, type StoreEvent } from '../../../src/base/event-log.ts';
import { type EventOptions, eventTest, readEvents } from '../../../src/containers/events.ts';

let root: string;
const store = { path: (...parts: string[]) => join(root, ...parts) };
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'events-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const started: StoreEvent = {
  type: 'container',
  action: 'start',
  id: 'abc',
  attributes: { name: 'web', image: 'app:1', tier: 'front' },
};
const now = (): bigint => BigInt(Date.now()) * 1_000_000n;

async function read(options: Partial<EventOptions>): Promise<string[]> {
  const found: string[] = [];
  for await (const { action } of readEvents(store, { filters: new Map(), signal: new AbortController().signal, ...options }))
    found.push(action);
  return found;
}

describe('events', () => {
  it('are read up to a moment, or from one on', async () => {
    recordEvent(store, started);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const between = now();
    await new Promise((resolve) => setTimeout(resolve, 5));
    recordEvent(store, { ...started, action: 'die' });
    expect(await read({ since: 0n, until: now() + 1_000_000n })).toEqual(['start', 'die']);
    expect(await read({ since: between, until: now() + 1_000_000n })).toEqual(['die']);
    expect(await read({ until: between })).toEqual(['start']);
  });

  it('are told as they happen, and not what was before', async () => {
    recordEvent(store, started);
    const reading = read({ until: now() + 300_000_000n });
    setTimeout(() => recordEvent(store, { ...started, action: 'die' }), 50);
    expect(await reading).toEqual(['die']);
  });

  it('take two files of a MiB, no more', () => {
    const long = { ...started, attributes: { name: 'x'.repeat(300_000) } };
    for (let count = 0; count < 13; count++) recordEvent(store, long);
    expect(readdirSync(join(root, 'events')).sort()).toEqual(['log', 'log.1']);
    expect(readFileSync(join(root, 'events/log.1')).length).toBeLessThan(1_600_000);
  });

  it.each<[Record<string, string[]>, boolean]>([
    [{ container: ['web'] }, true],
    [{ container: ['ab'] }, true],
    [{ container: ['db'] }, false],
    [{ volume: ['web'] }, false],
    [{ event: ['start', 'die'] }, true],
    [{ event: ['die'] }, false],
    [{ image: ['app'] }, true],
    [{ image: ['app:1'] }, true],
    [{ image: ['ap'] }, false],
    [{ label: ['tier=front'] }, true],
    [{ label: ['tier', 'none'] }, false],
    [{ type: ['container'] }, true],
    [{ scope: ['swarm'] }, false],
  ])('--filter %j', (filters, expected) => {
    expect(eventTest(new Map(Object.entries(filters)))(started)).toBe(expected);
  });
});
