import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Container } from '../../../src/containers/containers.ts';
import { type LogOptions, logAttributes, readLog } from '../../../src/containers/logs.ts';
import { sampleSpec, sampleState } from './sample.ts';

let directory: string;
let status: 'running' | 'exited';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'logs-'));
  status = 'exited';
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const container = (changes = {}): Container => ({
  id: 'a'.repeat(64),
  name: 'a',
  created: 0,
  spec: sampleSpec(changes),
  directory,
  state: () => sampleState({ status }),
});
const line = (text: string, second = 0, stream = 'stdout') =>
  `${JSON.stringify({ log: `${text}\n`, stream, time: `2026-01-31T12:00:${String(second).padStart(2, '0')}.123456789Z` })}\n`;
const write = (name: string, ...texts: string[]) =>
  writeFileSync(join(directory, name), texts.map((text) => line(text)).join(''));

async function read(options: Partial<LogOptions> = {}, from = container()): Promise<string> {
  let text = '';
  for await (const entries of readLog(from, { follow: false, signal: new AbortController().signal, ...options }))
    text += entries.map((entry) => entry.text).join('');
  return text;
}

describe('a log', () => {
  it('is read from its oldest file on', async () => {
    write('log.2', '1', '2');
    write('log.1', '3');
    write('log', '4', '5');
    expect(await read()).toBe('1\n2\n3\n4\n5\n');
  });

  it.each([
    [0, ''],
    [1, '5\n'],
    [2, '4\n5\n'],
    [3, '3\n4\n5\n'],
    [4, '2\n3\n4\n5\n'],
    [9, '1\n2\n3\n4\n5\n'],
  ])('has as its last %i lines', async (tail, text) => {
    write('log.2', '1', '2');
    write('log.1', '3');
    write('log', '4', '5');
    expect(await read({ tail })).toBe(text);
  });

  it('has last lines that are longer than what is read at a time', async () => {
    write('log', 'first', 'x'.repeat(700_000), 'last');
    expect(await read({ tail: 1 })).toBe('last\n');
    expect(await read({ tail: 2 })).toHaveLength(700_000 + 6);
  });

  it('is cut by time', async () => {
    writeFileSync(join(directory, 'log'), [1, 2, 3, 4].map((second) => line(String(second), second)).join(''));
    const at = (second: number) => BigInt(Date.parse(`2026-01-31T12:00:0${second}.500Z`)) * 1_000_000n;
    expect(await read({ since: at(1), until: at(3) })).toBe('2\n3\n');
  });

  it('is read past a line that a full disk cut short', async () => {
    writeFileSync(join(directory, 'log'), `${line('1')}{"log":"half\n${line('2')}{"log":"end`);
    expect(await read()).toBe('1\n2\n');
  });

  it('is read where its newest file was renamed, and there is no next one yet', async () => {
    write('log.1', '1');
    expect(await read()).toBe('1\n');
  });

  it('is empty where nothing was written', async () => {
    expect(await read()).toBe('');
  });

  it('is none where none is kept', async () => {
    await expect(read({}, container({ log: { driver: 'none', options: {} } }))).rejects.toThrow(
      'configured logging driver does not support reading',
    );
  });

  it('is followed over renames until its container ends, without losing a line', async () => {
    status = 'running';
    write('log', '0');
    const text = read({ follow: true });
    let number = 1;
    const timer = setInterval(() => {
      appendFileSync(join(directory, 'log'), line(String(number)));
      if (++number % 3 === 0) {
        for (const [older, newer] of [
          ['log.2', 'log.1'],
          ['log.1', 'log'],
        ] as const)
          try {
            renameSync(join(directory, newer), join(directory, older));
          } catch {}
      }
      if (number < 40) return;
      clearInterval(timer);
      status = 'exited';
    }, 5);
    expect(await text).toBe(Array.from({ length: 40 }, (_, each) => `${each}\n`).join(''));
  });

  it('is no longer followed when somebody interrupts', async () => {
    status = 'running';
    write('log', '0');
    const controller = new AbortController();
    const text = read({ follow: true, signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    expect(await text).toBe('0\n');
  });

  it('says of each entry what --log-opt names', () => {
    const spec = sampleSpec({
      labels: { a: '1', b: '2' },
      env: ['X=y=z', 'PATH=/bin'],
      log: { driver: 'json-file', options: { labels: 'b,none', env: 'X' } },
    });
    expect(logAttributes(spec)).toBe('X=y=z,b=2');
  });
});
