// The texts are docker's own, for the same containers (docker/cli 28 cli/command/formatter/container.go).
import { describe, expect, it } from 'vitest';
import { containerFormat, containerRow } from '../../../../src/cli/lists/container-rows.ts';
import { formatRows } from '../../../../src/cli/lists/row-format.ts';
import type { ContainerSpec, PortMapping } from '../../../../src/containers/spec.ts';
import type { ContainerState } from '../../../../src/containers/state.ts';
import { idOf, nowMs, sampleListed } from '../../containers/sample.ts';

const row = (...args: Parameters<typeof sampleListed>) => containerRow(sampleListed(...args), { isWhole: false, nowMs });

describe('a row of ps', () => {
  it('is laid out as docker lays it out', () => {
    const rows = [
      row({ spec: { cmd: ['sh', '-c', 'sleep 60; echo "x"'], ports: [port(8080, 80)], exposed: ['80/tcp', '443/tcp'] } }),
      row({ id: idOf('b'), name: 'db', state: { status: 'exited', exitCode: 137, finishedAt: nowMs - 7_200_000 } }),
    ];
    expect(formatRows('table', containerFormat(false), rows)).toBe(
      [
        'CONTAINER ID   IMAGE       COMMAND                  CREATED          STATUS                     PORTS                           NAMES',
        `aaaaaaaaaaaa   debian:12   "sh -c 'sleep 60; ec…"   10 seconds ago   Up 3 seconds               443/tcp, 0.0.0.0:8080->80/tcp   brave_hopper`,
        'bbbbbbbbbbbb   debian:12   "sleep 60"               10 seconds ago   Exited (137) 2 hours ago                                   db',
        '',
      ].join('\n'),
    );
  });

  it('has a size where it was asked for', () => {
    const listed = sampleListed({}, { size: { writtenBytes: 2, rootBytes: 21_500_000 } });
    const text = formatRows('table', containerFormat(true), [containerRow(listed, { isWhole: false, nowMs })]);
    expect(text).toContain('NAMES          SIZE\n');
    expect(text).toContain('brave_hopper   2B (virtual 21.5MB)\n');
  });

  it.each<[Partial<ContainerState>, string]>([
    [{}, 'Up 3 seconds'],
    [{ startedAt: nowMs - 100 }, 'Up Less than a second'],
    [{ status: 'paused', startedAt: nowMs - 61_000 }, 'Up About a minute (Paused)'],
    [{ status: 'restarting', exitCode: 3, finishedAt: nowMs - 1000 }, 'Restarting (3) 1 second ago'],
    [{ status: 'created' }, 'Created'],
    [{ status: 'dead' }, 'Dead'],
    [{ health: { status: 'starting', failingStreak: 0, log: [] } }, 'Up 3 seconds (health: starting)'],
    [{ health: { status: 'unhealthy', failingStreak: 3, log: [] } }, 'Up 3 seconds (unhealthy)'],
  ])('%j is %s', (state, status) => {
    expect(row({ state }).Status).toBe(status);
  });

  it.each<[string[], PortMapping[], string]>([
    [['80/tcp'], [], '80/tcp'],
    [['80/tcp', '81/tcp', '82/tcp', '90/udp'], [], '80-82/tcp, 90/udp'],
    [['80/tcp'], [port(80, 80)], '0.0.0.0:80->80/tcp'],
    [[], [port(80, 80), port(81, 81), port(83, 83)], '0.0.0.0:80-81->80-81/tcp, 0.0.0.0:83->83/tcp'],
    [[], [port(8080, 80, '127.0.0.1'), port(53, 53, '::1', 'udp')], '[::1]:53->53/udp, 127.0.0.1:8080->80/tcp'],
  ])('with %j and %j it has ports', (exposed, ports, text) => {
    expect(row({ spec: { exposed, ports } }).Ports).toBe(text);
  });

  it('has no ports where nothing runs', () => {
    expect(row({ spec: { exposed: ['80/tcp'] }, state: { status: 'exited' } }).Ports).toBe('');
  });

  it.each<[ContainerSpec['image'], string]>([
    [{ name: 'docker.io/library/debian:12', id: 'sha256:1' }, 'debian:12'],
    [{ name: `debian@sha256:${idOf('c')}`, id: 'sha256:1' }, 'debian'],
    [{ name: `debian:12@sha256:${idOf('c')}`, id: 'sha256:1' }, 'debian:12'],
    [{ name: `sha256:${idOf('c')}`, id: `sha256:${idOf('c')}` }, 'cccccccccccc'],
    [{ name: 'cccccccccccc', id: `sha256:${idOf('c')}` }, 'cccccccccccc'],
  ])('of the image %j is of %s', (image, text) => {
    expect(row({ spec: { image } }).Image).toBe(text);
  });

  it('has what templates ask for', () => {
    const labels = { 'com.example.some-name': 'x', a: 'b' };
    const mounts = [
      { type: 'volume', name: 'data', isAnonymous: false, target: '/d', readonly: false, noCopy: false },
      {
        type: 'bind',
        source: '/a/very/long/path/indeed',
        target: '/e',
        readonly: true,
        propagation: '',
        nonRecursive: false,
        makesSource: true,
      },
    ] as const;
    const rows = [row({ spec: { labels, mounts } })];
    const format = (template: string) => formatRows(template, containerFormat(false), rows);
    expect(format('{{.Label "a"}}|{{.Labels}}|{{.Mounts}}|{{.LocalVolumes}}|{{.Networks}}|{{.Platform}}|{{.IPAddresses}}')).toBe(
      'b|a=b,com.example.some-name=x|data,/a/very/long/p…|1|bridge|linux/amd64|[bridge/10.89.0.2]\n',
    );
    expect(format('table {{.Names}}\\t{{.Label "com.example.some-name"}}\\t{{upper .State}}')).toBe(
      'NAMES          some name   STATE\nbrave_hopper   x           RUNNING\n',
    );
    expect(JSON.parse(format('json'))).toMatchObject({ Command: '"sleep 60"', Platform: { architecture: 'amd64', os: 'linux' } });
    expect(() => format('{{.Nope}}')).toThrow('there is no .Nope');
    expect(() => formatRows('{{.Nope}}', containerFormat(false), [])).toThrow('there is no .Nope');
  });

  it('escapes in JSON what Go escapes', () => {
    const text = formatRows('json', containerFormat(false), [row({ spec: { ports: [port(80, 80)] } })]);
    expect(text).toContain('"Ports":"0.0.0.0:80-\\u003e80/tcp"');
    expect(text).toMatch(/^\{"Command":.*"CreatedAt":.*"ID":/);
  });
});

function port(hostPort: number, containerPort: number, hostAddress = '', protocol: PortMapping['protocol'] = 'tcp'): PortMapping {
  return { hostAddress, hostPort, containerPort, protocol };
}
