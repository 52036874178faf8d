// The members are those of docker's own document (moby 28 api/types/container); what scripts ask for is looked at by name.
import { describe, expect, it } from 'vitest';
import { renderTemplate } from '../../../src/cli/lists/go-template.ts';
import { inspectContainer } from '../../../src/containers/inspect.ts';
import type { ListedContainer } from '../../../src/containers/listing.ts';
import { idOf, nowMs, sampleListed } from './sample.ts';

const documentOf = (listed: ListedContainer) =>
  inspectContainer(listed, { volumePath: (name) => `/store/volumes/${name}/_data` });
const asked = (listed: ListedContainer, template: string) =>
  renderTemplate(template, documentOf(listed) as unknown as Record<string, unknown>, { indent: 0 });

const web = sampleListed({
  name: 'web',
  created: nowMs,
  spec: {
    entrypoint: ['/entry'],
    cmd: ['serve', '--now'],
    labels: { app: 'web' },
    exposed: ['80/tcp', '443/tcp'],
    ports: [{ hostAddress: '', hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
    mounts: [
      { type: 'volume', name: 'data', isAnonymous: false, target: '/data', readonly: false, noCopy: false },
      { type: 'bind', source: '/src', target: '/dst', readonly: true, propagation: '', nonRecursive: false, makesSource: true },
      { type: 'tmpfs', target: '/run', options: ['size=64m'] },
    ],
    limits: { memory: { limit: 1 << 28 }, cpu: { quota: 150_000, period: 100_000 }, pids: { limit: 50 } },
    rlimits: [{ type: 'RLIMIT_NOFILE', soft: 1024, hard: 2048 }],
    restart: { name: 'on-failure', maximumRetries: 3 },
  },
  state: { health: { status: 'healthy', failingStreak: 0, log: [{ start: nowMs, end: nowMs, exitCode: 0, output: 'ok' }] } },
});

describe('inspect of a container', () => {
  it.each([
    ['{{.Id}} {{.Name}} {{.Created}}', `${idOf('a')} /web 2026-11-21T12:00:00.000Z`],
    ['{{.Path}} {{.Args}}', '/entry [serve --now]'],
    ['{{.State.Status}} {{.State.Running}} {{.State.Pid}} {{.State.ExitCode}}', 'running true 4711 0'],
    ['{{.State.StartedAt}} {{.State.FinishedAt}}', '2026-11-21T11:59:57.000Z 0001-01-01T00:00:00Z'],
    ['{{.State.Health.Status}} {{len .State.Health.Log}}', 'healthy 1'],
    ['{{.Config.Image}} {{json .Config.Entrypoint}} {{json .Config.Cmd}}', 'debian:12 ["/entry"] ["serve","--now"]'],
    ['{{index .Config.Labels "app"}} {{.Config.Hostname}}', `web ${idOf('a').slice(0, 12)}`],
    ['{{json .Config.ExposedPorts}}', '{"80/tcp":{},"443/tcp":{}}'],
    [
      '{{range .Mounts}}{{.Type}}:{{.Source}}:{{.Destination}}:{{.RW}} {{end}}',
      'volume:/store/volumes/data/_data:/data:true bind:/src:/dst:false ',
    ],
    ['{{json .HostConfig.Binds}}', '["data:/data","/src:/dst:ro"]'],
    ['{{json .HostConfig.Tmpfs}}', '{"/run":"size=64m"}'],
    ['{{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}', 'on-failure:3'],
    ['{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}', '268435456 1500000000 50'],
    ['{{json .HostConfig.Ulimits}}', '[{"Name":"nofile","Hard":2048,"Soft":1024}]'],
    ['{{json .HostConfig.PortBindings}}', '{"80/tcp":[{"HostIp":"","HostPort":"8080"}]}'],
    ['{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', '8080'],
    ['{{json (index .NetworkSettings.Ports "443/tcp")}}', 'null'],
    ['{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Networks.bridge.Gateway}}', '10.89.0.2 10.89.0.1'],
    [
      '{{range $name, $net := .NetworkSettings.Networks}}{{$name}}={{$net.IPAddress}}/{{$net.IPPrefixLen}}{{end}}',
      'bridge=10.89.0.2/24',
    ],
    ['{{.LogPath}}', `/nowhere/${idOf('a')}/log`],
  ])('%s', (template, text) => {
    expect(asked(web, template)).toBe(text);
  });

  it('of one that ended has its exit code, and neither process nor open ports', () => {
    const ended = sampleListed(
      { spec: { exposed: ['80/tcp'] }, state: { status: 'exited', exitCode: 137, oomKilled: true } },
      { published: [] },
    );
    expect(
      asked(ended, '{{.State.Running}} {{.State.Pid}} {{.State.ExitCode}} {{.State.OOMKilled}} {{json .NetworkSettings.Ports}}'),
    ).toBe('false 0 137 true {}');
  });

  it('says no value of a label that is not there, and is an error for a member that no container has', () => {
    expect(asked(web, '{{.Config.Labels.none}}')).toBe('<no value>');
    expect(() => asked(web, '{{.Config.Nope}}')).toThrow('map has no entry for key "Nope"');
    expect(() => asked(sampleListed(), '{{.State.Health.Status}}')).toThrow('map has no entry for key "Health"');
  });

  it('has a size only when asked for it', () => {
    expect(documentOf(web)).not.toHaveProperty('SizeRw');
    expect(documentOf({ ...web, size: { writtenBytes: 5, rootBytes: 10 } })).toMatchObject({ SizeRw: 5, SizeRootFs: 10 });
  });
});
