// The network of an account's containers: one of their own by pasta or slirp4netns, from which the host's loopback is out of reach.
// alone.sh gives this machine an address that is not on loopback, and names a server of names there, which this file is.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, isIPv4 } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildImage } from '../support/built-image.ts';
import { freshStore, sharedStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

const HELPERS = ['pasta', 'slirp4netns'] as const;
const address = process.env.TBUILD_TEST_ADDRESS as string;
const folder = mkdtempSync(path.join(tmpdir(), 'tbuild-network-'));
const names = createSocket('udp4');
const servers: Server[] = [];

beforeAll(async () => {
  expect(isIPv4(address)).toBe(true);
  names.on('message', (question, { port, address: from }) => names.send(answerTo(question), port, from)).bind(53, address);
  await once(names, 'listening');
});

afterAll(() => {
  for (const server of servers) server.close();
  names.close();
  rmSync(folder, { recursive: true });
});

/** Every name is this machine's. */
function answerTo(question: Buffer): Buffer {
  const end = question.indexOf(0, 12) + 5;
  const isIpv4 = question.readUInt16BE(end - 4) === 1;
  const header = Buffer.from([...question.subarray(0, 2), 0x81, 0x80, 0, 1, 0, isIpv4 ? 1 : 0, 0, 0, 0, 0]);
  const answer = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)];
  return Buffer.concat([header, question.subarray(12, end), Buffer.from(isIpv4 ? answer : [])]);
}

async function serve(at: string): Promise<string> {
  const server = createServer((_, response) => response.end(`this is ${at}\n`));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, at, resolve));
  return String((server.address() as AddressInfo).port);
}

/** A PATH with what tbuild needs and these helpers. */
function pathWith(...helpers: readonly string[]): string {
  const bin = mkdtempSync(path.join(folder, 'bin-'));
  for (const name of ['newuidmap', 'newgidmap', 'readlink', ...helpers]) symlinkSync(`/usr/bin/${name}`, path.join(bin, name));
  return bin;
}

/** Programs of this account, but for those that have ended and were not waited for. */
function helpersAlive(): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    try {
      const name = /^Name:\t(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
      return /^(?:pasta|passt|slirp4netns)/.test(name) ? [name] : [];
    } catch {
      return [];
    }
  });
}

const fetchAll = (urls: readonly string[]) =>
  urls.map((url) => `timeout 5 wget -q -O - ${url} 2>&1 || echo "no way to it"`).join('; ');

function monitorOf(name: string): number {
  const folder = path.join(sharedStore(), 'containers');
  const states = readdirSync(folder).map((id) => {
    const spec = JSON.parse(readFileSync(path.join(folder, id, 'monitor.json'), 'utf8'));
    return { spec, state: JSON.parse(readFileSync(path.join(folder, id, 'state.json'), 'utf8')) };
  });
  return states.find(({ spec }) => spec.events.attributes.name === name)?.state.monitorPid;
}

describe.each(HELPERS)('by %s', (helper) => {
  const env = { PATH: pathWith(helper) };

  test('run reaches the machine by its address and by names, and nothing on its loopback', async () => {
    const [there, local] = [await serve(address), await serve('127.0.0.1')];
    const urls = [`${address}:${there}`, `name.test:${there}`, `127.0.0.1:${local}`, `10.0.2.2:${local}`, `198.18.0.1:${local}`];
    const { stdout, stderr, code } = await tbuild(['run', '--rm', 'busybox', 'sh', '-c', fetchAll(urls)], { env });
    expect(stderr).toBe('');
    expect(stdout.split('\n').filter((line) => !line.startsWith('wget:') && line !== 'Terminated')).toEqual([
      `this is ${address}`,
      `this is ${address}`,
      'no way to it',
      'no way to it',
      'no way to it',
      '',
    ]);
    expect(code).toBe(0);
  });

  test('RUN does, with /sys and resolv.conf of that network', async () => {
    const port = await serve(address);
    const built = await buildImage(
      `FROM busybox\nRUN wget -q -O /got name.test:${port} && ls /sys/class/net > /devices && cat /etc/resolv.conf > /resolv`,
      { env, store: freshStore() },
    );
    expect(built.text('got')).toBe(`this is ${address}`);
    expect(built.text('devices')).toBe(helper === 'pasta' ? 'lo\nway0' : 'lo\ntap0');
    expect(built.text('resolv')).toBe('nameserver 10.0.2.3');
    expect(built.stderr).not.toContain('network:');
  });

  test('it ends with the container, however that one ends', async () => {
    await tbuildOk(['run', '--rm', 'busybox', 'true'], { env });
    expect(helpersAlive()).toEqual([]);
    const ends = [() => tbuildOk(['kill', 'networked'], { env }), () => process.kill(monitorOf('networked'), 'SIGKILL')];
    for (const end of ends) {
      await tbuildOk(['run', '-d', '--name', 'networked', 'busybox', 'sleep', '60'], { env });
      expect(helpersAlive()).toHaveLength(1);
      await end();
      await expect.poll(helpersAlive, { timeout: 10_000 }).toEqual([]);
      await tbuildOk(['rm', '-f', 'networked'], { env });
    }
  });
});

test('on the host’s network loopback is there, on none there is nothing else', async () => {
  const port = await serve('127.0.0.1');
  expect(await tbuildOk(['run', '--rm', '--network=host', 'busybox', 'wget', '-q', '-O', '-', `127.0.0.1:${port}`])).toBe(
    'this is 127.0.0.1\n',
  );
  expect(await tbuildOk(['run', '--rm', '--network=none', 'busybox', 'ls', '/sys/class/net'])).toBe('lo\n');
  const built = await buildImage(`FROM busybox\nRUN wget -q -O /got 127.0.0.1:${port}`, { args: ['--network=host'] });
  expect(built.text('got')).toBe('this is 127.0.0.1');
});

const WHY =
  "network: the host's, and what listens on its loopback can be reached " +
  '(neither pasta nor slirp4netns is installed: Debian has them in passt and slirp4netns; --network=none has none)';

test('without either it is the host’s, said once; a key knows nothing of that', async () => {
  const store = freshStore();
  const env = { PATH: pathWith() };
  const { stderr, stdout } = await tbuild(['run', '--rm', 'busybox', 'cat', '/etc/resolv.conf'], { env, store });
  expect([stderr, stdout]).toEqual([`${WHY}\n`, `nameserver ${address}\n`]);
  const dockerfile = 'FROM busybox\nRUN echo 1\nRUN echo 2';
  const built = await buildImage(dockerfile, { env, store });
  expect(built.stderr.split(WHY)).toHaveLength(2);
  expect((await buildImage(dockerfile, { store })).ran).toEqual([]);
});

test('where pasta cannot, slirp4netns can; where neither can, it says why', async () => {
  const bin = pathWith('slirp4netns');
  symlinkSync('/bin/false', path.join(bin, 'pasta'));
  const first = await tbuild(['run', '--rm', 'busybox', 'ls', '/sys/class/net'], { env: { PATH: bin } });
  expect([first.stdout, first.stderr]).toEqual(['lo\ntap0\n', '']);
  rmSync(path.join(bin, 'slirp4netns'));
  const second = await tbuild(['run', '--rm', 'busybox', 'true'], { env: { PATH: bin } });
  expect([second.code, second.stderr]).toEqual([
    0,
    expect.stringContaining('pasta fails: it says nothing; slirp4netns, which may not, is not installed'),
  ]);
});
