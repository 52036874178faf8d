// Containers on bridges: names, addresses, published ports, and that nothing of it is left, whatever ends them.
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { askByUdp, interfaces, rulesWith, whyNoNetworks } from '../support/networks.ts';
import { freshStore } from '../support/stores.ts';
import { type Result, tbuild, tbuildOk } from '../support/tbuild.ts';

const why = whyNoNetworks();
if (why !== undefined) process.stderr.write(`networks: not tested: ${why}\n`);

const store = freshStore();
const run = (...args: string[]): Promise<Result> => tbuild(args, { store });
const ok = async (...args: string[]): Promise<string> => (await tbuildOk(args, { store })).trim();
const idle = ['busybox', 'sleep', '1000'];

/** Answers requests with its name, and datagrams with what they say. */
const SERVER = `
use IO::Socket::INET; use IO::Select;
my $tcp = IO::Socket::INET->new(LocalPort => 80, Listen => 9, ReuseAddr => 1) or die;
my $udp = IO::Socket::INET->new(LocalPort => 53, Proto => "udp") or die;
my $both = IO::Select->new($tcp, $udp);
while (1) { for my $one ($both->can_read) {
  if ($one == $udp) { $udp->recv(my $said, 999); $udp->send($said); next }
  my $client = $tcp->accept; sysread($client, my $request, 999);
  print $client "HTTP/1.0 200 OK\\r\\n\\r\\n$ARGV[0]\\n"; close $client;
} }`;

const server = (name: string, ...flags: string[]) =>
  ok('run', '-d', '--name', name, ...flags, 'debian:12', 'perl', '-e', SERVER, name);

/** A command for debian, whose libc resolves names as most do: the last line that an HTTP server there says. */
const fetching = (host: string): string[] => [
  ...['timeout', '3', 'bash', '-c'],
  `until exec 3<>/dev/tcp/${host}/80; do sleep 0.1; done 2> /dev/null; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; tail -n 1 <&3`,
];
const fetchFrom = (network: string, host: string): Promise<Result> =>
  run('run', '--rm', '--network', network, 'debian:12', ...fetching(host));

interface Inspected {
  readonly Containers: Readonly<Record<string, { readonly Name: string; readonly IPv4Address: string }>>;
  readonly IPAM: { readonly Config: readonly { readonly Subnet: string; readonly Gateway: string }[] };
}

const inspectNetwork = async (name: string) => (JSON.parse(await ok('network', 'inspect', name)) as [Inspected])[0];

async function addressOf(network: string, container: string): Promise<string> {
  const all = Object.values((await inspectNetwork(network)).Containers);
  return all.find(({ Name }) => Name === container)?.IPv4Address.split('/')[0] ?? '';
}

const bridgeOf = async (network: string) => `br-${(await ok('network', 'ls', '-q', '-f', `name=${network}`)).split('\n')[0]}`;

/** Until it answers: a server that has just been started listens a little later. */
async function get(url: string, patienceMs = 5000): Promise<string> {
  for (const end = Date.now() + patienceMs; ; await sleep(50)) {
    try {
      return (await (await fetch(url, { signal: AbortSignal.timeout(2000) })).text()).trim();
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
}

afterEach(async () => {
  if (why !== undefined) return;
  const all = (await ok('ps', '-aq')).split('\n').filter((id) => id !== '');
  if (all.length > 0) await ok('rm', '-f', ...all);
  await ok('network', 'prune', '-f');
});

describe.skipIf(why !== undefined)('a user-defined network', () => {
  test('two containers resolve each other by name, alias and ID, and nobody else does', async () => {
    await ok('network', 'create', 'app');
    const id = await server('web', '--network', 'app', '--network-alias', 'www');
    for (const name of ['web', 'www', id.slice(0, 12)])
      expect(await fetchFrom('app', name)).toMatchObject({ stdout: 'web\n', code: 0 });
    const address = await addressOf('app', 'web');
    expect((await fetchFrom('app', address)).stdout.trim()).toBe('web');
    await ok('network', 'create', 'other');
    expect((await fetchFrom('other', 'web')).code).not.toBe(0);
    expect((await fetchFrom('other', address)).code).not.toBe(0);
  });

  test('hosts and resolv.conf inside are docker’s', async () => {
    await ok('network', 'create', '--subnet', '10.213.7.0/24', 'app');
    const shown = await ok(
      ...['run', '--rm', '--network', 'app', '--ip', '10.213.7.9', '--hostname', 'me', '--add-host', 'db:10.0.0.1'],
      ...['--add-host', 'h:host-gateway', '--dns-search', 'example.com', 'busybox', 'cat', '/etc/hosts', '/etc/resolv.conf'],
    );
    expect(shown.split('\n').slice(6)).toEqual([
      '10.0.0.1\tdb',
      '10.213.7.1\th',
      '10.213.7.9\tme',
      'nameserver 10.213.7.1',
      'search example.com',
    ]);
  });

  test('is joined and left while a container runs', async () => {
    await ok('network', 'create', 'app');
    await ok('network', 'create', 'back');
    await server('db', '--network', 'back');
    await ok('run', '-d', '--name', 'one', '--network', 'app', ...idle);
    const asks = () => fetchFrom('container:one', 'database');
    expect((await asks()).code).not.toBe(0);
    await ok('network', 'connect', 'back', 'one');
    await ok('network', 'disconnect', 'back', 'db');
    await ok('network', 'connect', '--alias', 'database', 'back', 'db');
    expect((await asks()).stdout.trim()).toBe('db');
    const again = await run('network', 'connect', 'back', 'one');
    expect(again.stderr).toContain('endpoint with name one already exists in network back');
    await ok('network', 'disconnect', 'back', 'one');
    expect((await asks()).code).not.toBe(0);
    expect(await ok('inspect', '-f', '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}', 'one')).toBe('app');
  });

  test('in use it is not removed; when its last container ends nothing of it is left', async () => {
    await ok('network', 'create', 'app');
    const bridge = await bridgeOf('app');
    const id = await ok('run', '-d', '--name', 'one', '--network', 'app', ...idle);
    expect(interfaces()).toContain(bridge);
    const { code, stderr } = await run('network', 'rm', 'app');
    expect([code, stderr]).toEqual([
      1,
      `error: error while removing network: network app has active endpoints (name:"one" id:"${id.slice(0, 12)}")\n`,
    ]);
    await ok('stop', '-t', '0', 'one');
    expect(interfaces()).not.toContain(bridge);
    expect(rulesWith(id)).toEqual([]);
    expect(await ok('network', 'rm', 'app')).toBe('app');
    const gone = await run('start', 'one');
    expect([gone.code, gone.stderr.includes('network app not found')]).toEqual([1, true]);
  });

  test('an internal one leads nowhere else', async () => {
    await ok('network', 'create', '--internal', 'app');
    expect(await ok('run', '--rm', '--network', 'app', 'busybox', 'ip', 'route')).not.toContain('default');
  });
});

describe.skipIf(why !== undefined)('published ports', () => {
  test('tcp and udp lead from the host to the container, over restarts', async () => {
    await server('web', '-p', '127.0.0.1::80', '-p', '0:53/udp');
    const shown = await ok('ps', '--format', '{{.Ports}}');
    const [web, echo] = [/127\.0\.0\.1:(\d+)->80\/tcp/, /0\.0\.0\.0:(\d+)->53\/udp/].map((form) => Number(form.exec(shown)?.[1]));
    expect(await get(`http://127.0.0.1:${web}/`)).toBe('web');
    expect(await askByUdp(echo as number, 'hello')).toBe('hello');
    await ok('restart', '-t', '0', 'web');
    expect(await get(`http://127.0.0.1:${web}/`)).toBe('web');
    await ok('stop', '-t', '0', 'web');
    await expect(get(`http://127.0.0.1:${web}/`, 0)).rejects.toThrow();
    await ok('start', 'web');
    expect(await get(`http://127.0.0.1:${web}/`)).toBe('web');
  });

  test('one that a program of the host has, or a container, is refused before anything is made', async () => {
    const taken = createServer().listen(0, '0.0.0.0');
    onTestFinished(() => void taken.close());
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as { port: number };
    const first = await run('run', '-d', '--name', 'one', '-p', `${port}:80`, ...idle);
    expect([first.code, first.stderr.includes('address already in use')]).toEqual([125, true]);
    expect(await ok('ps', '-a', '--format', '{{.Status}}')).toBe('Created');
    await new Promise((resolve) => taken.close(resolve));
    await ok('start', 'one');
    const second = await run('run', '-d', '--name', 'two', '-p', `${port}:80`, ...idle);
    expect(second.stderr).toContain(`Bind for 0.0.0.0:${port} failed: port is already allocated`);
    // Held on the host, too: no program can take it away.
    const thief = createServer();
    const code = await new Promise((resolve) =>
      thief.once('error', (error: NodeJS.ErrnoException) => resolve(error.code)).listen(port, '0.0.0.0'),
    );
    expect(code).toBe('EADDRINUSE');
  });
});

describe.skipIf(why !== undefined)('addresses', () => {
  test('of twenty containers that start at once none is given twice', { timeout: 240_000 }, async () => {
    await ok('network', 'create', 'app');
    const names = Array.from({ length: 20 }, (_, at) => `c${at}`);
    await Promise.all(names.map((name) => ok('run', '-d', '--name', name, '--network', 'app', ...idle)));
    const addresses = Object.values((await inspectNetwork('app')).Containers).map(({ IPv4Address }) => IPv4Address);
    expect([addresses.length, new Set(addresses).size]).toEqual([20, 20]);
    const inside = await Promise.all(
      names.map((name) =>
        ok('run', '--rm', '--network', `container:${name}`, 'busybox', 'ip', '-4', '-o', 'addr', 'show', 'eth0'),
      ),
    );
    expect(new Set(inside.map((line) => /inet (\S+)/.exec(line)?.[1]))).toEqual(new Set(addresses));
    await ok('rm', '-f', ...names);
    expect(interfaces()).not.toContain(await bridgeOf('app'));
  });

  test('one that was asked for is given once', async () => {
    await ok('network', 'create', '--subnet', '10.213.8.0/24', 'app');
    await ok('run', '-d', '--name', 'one', '--network', 'app', '--ip', '10.213.8.50', ...idle);
    const second = await run('run', '--rm', '--network', 'app', '--ip', '10.213.8.50', ...idle);
    expect([second.code, second.stderr.includes('Address already in use')]).toEqual([125, true]);
  });

  test('of a killed monitor’s container they are free again, and no rule, cable or name is left', async () => {
    await ok('network', 'create', '--subnet', '10.213.9.0/24', 'app');
    const bridge = await bridgeOf('app');
    const start = () => ok('run', '-d', '--network', 'app', '--ip', '10.213.9.50', '-p', '41873:80', ...idle);
    const id = await start();
    const { monitorPid } = JSON.parse(readFileSync(path.join(store, 'containers', id, 'state.json'), 'utf8')) as {
      monitorPid: number;
    };
    process.kill(monitorPid, 'SIGKILL');
    for (let tries = 0; existsSync(`/proc/${monitorPid}`) && tries < 100; tries++) await sleep(20);
    const second = await start();
    expect(rulesWith(id)).toEqual([]);
    expect(rulesWith(second)).not.toEqual([]);
    await ok('rm', '-f', second);
    expect(interfaces()).not.toContain(bridge);
    expect(rulesWith('10.213.9.')).toEqual([]);
  });
});

describe.skipIf(why !== undefined)('other modes', () => {
  test('none has a loopback alone', async () => {
    const links = await ok('run', '--rm', '--network', 'none', 'busybox', 'ls', '/sys/class/net');
    expect(links.split('\n')).toEqual(['lo']);
  });

  test('host is the host’s', async () => {
    const links = await ok(
      'run',
      '--rm',
      '--network',
      'host',
      'busybox',
      'sh',
      '-c',
      'tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d " "',
    );
    expect(links.split('\n')).toContain('lo');
    expect(links.split('\n').length).toBeGreaterThan(1);
  });

  test('container:NAME is that one’s, with its files', async () => {
    const id = await server('web');
    const joined = await ok('run', '--rm', '--network', 'container:web', 'busybox', 'cat', '/etc/hosts');
    expect(joined.split('\n').at(-1)).toBe(`${await addressOf('bridge', 'web')}\t${id.slice(0, 12)}`);
    expect(await ok('run', '--rm', '--network', 'container:web', 'debian:12', ...fetching('127.0.0.1'))).toBe('web');
    await ok('stop', '-t', '0', 'web');
    const { code } = await run('run', '--rm', '--network', 'container:web', 'busybox', 'true');
    expect(code).toBe(125);
  });
});
