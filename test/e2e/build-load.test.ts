// `--load` where a Docker or a podman is running: Debian's podman has the image then, with its ID and its names; a server that fails is an error of its
// own, and the image is in the store whatever becomes of it.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { emptyStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

let folder: string;
let store: string;
let context: string;
const at = (name: string) => path.join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-load-'));
  store = emptyStore();
  context = makeContext({ Dockerfile: 'FROM scratch\nCOPY data /\n', data: 'x'.repeat(1 << 20) });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** No socket but those that a test means. */
const nowhere = { DOCKER_HOST: undefined, CONTAINER_HOST: undefined, XDG_RUNTIME_DIR: undefined };
const load = (env: NodeJS.ProcessEnv, ...args: string[]) =>
  tbuild(['build', '--progress=plain', '--load', ...args, context], { store, env: { ...nowhere, ...env } });

describe('podman', () => {
  const storage = () => [
    '--root',
    at('podman'),
    '--runroot',
    at('podman-run'),
    '--storage-driver',
    'vfs',
    '--cgroup-manager',
    'cgroupfs',
  ];
  const podman = (...args: string[]) => execFileSync('podman', [...storage(), ...args], { encoding: 'utf8', stdio: 'pipe' });
  let service: ChildProcess;
  beforeAll(async () => {
    service = spawn('podman', [...storage(), 'system', 'service', '--time', '0', `unix://${at('podman.sock')}`], {
      stdio: 'ignore',
    });
    while (!existsSync(at('podman.sock'))) await sleep(50);
  });
  afterAll(() => {
    service.kill('SIGKILL');
  });

  it.each(['DOCKER_HOST', 'CONTAINER_HOST'])('has the image that was built, by %s', async (variable) => {
    const name = `${variable.toLowerCase()}:1`;
    const { code, stdout, stderr } = await load(
      { [variable]: `unix://${at('podman.sock')}` },
      '-t',
      name,
      '-t',
      `quay.io/team/${name}`,
    );
    expect(code, stderr).toBe(0);
    expect(stdout + stderr).toMatch(new RegExp(`exported ${name} \\(podman\\)`));
    const [image] = JSON.parse(await tbuildOk(['inspect', name], { store })) as { Id: string }[];
    expect(`sha256:${podman('image', 'inspect', '--format', '{{.Id}}', `quay.io/team/${name}`).trim()}`).toBe(image?.Id);
    // Of several short names podman makes localhost's.
    podman('image', 'exists', name);
  });

  it('is copied from and to, by docker-daemon:', async () => {
    const env = { ...nowhere, DOCKER_HOST: `unix://${at('podman.sock')}` };
    await tbuildOk(['build', '-q', '-t', 'quay.io/team/copied:1', '--load', context], { store, env });
    const cp = (...args: string[]) => tbuild(['cp', ...args], { store: '/nowhere', env });
    expect((await cp('docker-daemon:quay.io/team/copied:1', `oci:${at('layout')}:x`)).stderr).toBe('');
    expect((await cp(`oci:${at('layout')}:x`, 'docker-daemon:quay.io/team/again:2')).stderr).toBe('');
    const idOf = (name: string) => podman('image', 'inspect', '--format', '{{.Id}}', name);
    expect(idOf('quay.io/team/again:2')).toBe(idOf('quay.io/team/copied:1'));
    const { code, stderr } = await cp('docker-daemon:quay.io/team/none', `oci:${at('none')}`);
    expect([code, existsSync(at('none'))], stderr).toEqual([6, false]);
  });

  it('is found by its default socket, and handed what -o type=docker says', async () => {
    const runtime = at('runtime');
    execFileSync('sh', ['-c', 'mkdir -p "$1/podman" && ln -s "$2" "$1/podman/podman.sock"', 'sh', runtime, at('podman.sock')]);
    const args = ['-o', 'type=docker,name=by-output:1,compression=gzip', '--platform', 'linux/amd64,linux/s390x'];
    const { code, stderr } = await tbuild(['build', '--progress=plain', ...args, context], {
      store,
      env: { ...nowhere, XDG_RUNTIME_DIR: runtime },
    });
    expect(code, stderr).toBe(0);
    expect(podman('image', 'inspect', '--format', '{{.Architecture}}', 'docker.io/library/by-output:1')).toBe('amd64\n');
    expect(await tbuildOk(['images', '-q', 'by-output:1'], { store })).not.toBe('');
  });
});

describe('a server that is not as it should be', () => {
  const servers: Server[] = [];
  afterAll(() => {
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
  });

  async function serve(
    name: string,
    load: RequestListener,
    ping: RequestListener = (_, response) => response.end('OK'),
  ): Promise<string> {
    const server = createServer((request, response) => (request.url === '/_ping' ? ping : load)(request, response));
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(at(name), resolve));
    return `unix://${at(name)}`;
  }

  const failure = async (host: string): Promise<string> => {
    const { code, stderr } = await load({ DOCKER_HOST: host }, '-t', 'kept');
    expect(await tbuildOk(['images', '-q', 'kept'], { store })).not.toBe('');
    return `${code} ${/^error: .*/m.exec(stderr)?.[0]}`.replace(host, 'HOST');
  };

  it('is given the archive whole', async () => {
    const hash = createHash('sha256');
    const host = await serve('good', (request, response) => {
      expect(request.method).toBe('POST');
      request
        .on('data', (chunk) => hash.update(chunk))
        .on('end', () => response.end('{"stream":"Loaded image: whole:latest\\n"}\n'));
    });
    expect((await load({ DOCKER_HOST: host }, '-t', 'whole')).stderr).toContain('whole:latest (Docker)');
    await tbuildOk(['save', '-o', at('saved.tar'), 'whole'], { store });
    expect(hash.digest('hex')).toBe(execFileSync('sha256sum', [at('saved.tar')], { encoding: 'utf8' }).slice(0, 64));
  });

  it('refuses, with a status or behind one', async () => {
    const full = await serve('full', (request, response) => {
      request.resume().on('end', () => response.writeHead(500).end('{"message":"no space left on device"}'));
    });
    expect(await failure(full)).toBe('5 error: the image could not be loaded at HOST: 500 no space left on device');
    const late = await serve('late', (request, response) => {
      request
        .resume()
        .on('end', () => response.end('{"stream":"x"}\n{"errorDetail":{"message":"bad layer"},"error":"bad layer"}\n'));
    });
    expect(await failure(late)).toBe('5 error: the image could not be loaded at HOST: bad layer');
  });

  it('goes away', async () => {
    const gone = await serve('gone', (request) => void request.once('data', () => request.socket.destroy()));
    expect(await failure(gone)).toMatch(/^5 error: the image could not be loaded at HOST: /);
    const early = await serve('early', (_, response) => {
      response.writeHead(403, { connection: 'close' }).end('{"message":"not you"}');
    });
    expect(await failure(early)).toMatch(/^5 error: the image could not be loaded at HOST: /);
  });

  it('is content before it has read anything', async () => {
    const hasty = await serve('hasty', (_, response) => void response.end('{"stream":"Loaded"}'));
    const { code, stderr } = await load({ DOCKER_HOST: hasty }, '-t', 'kept');
    expect([code, stderr.includes('kept:latest (Docker)')], stderr).toEqual([0, true]);
  });

  it('answers without end', async () => {
    const endless = await serve('endless', (request, response) => {
      request.resume();
      const write = () => {
        while (!response.destroyed && response.write('{"stream":"again"}\n'.repeat(1000)));
      };
      response.on('drain', write);
      write();
    });
    expect(await failure(endless)).toBe('5 error: the image could not be loaded at HOST: its answer has no end');
  });

  it('is none: an error where it was named, one line where it was not', async () => {
    expect(await failure(`unix://${at('nothing')}`)).toMatch(/^5 error: no Docker answers at HOST: connect ENOENT/);
    expect(await failure('ssh://somewhere')).toBe('9 error: no Docker can be asked at HOST');
    const strange = await serve(
      'strange',
      () => {},
      (_, response) => response.writeHead(404).end(),
    );
    expect(await failure(strange)).toBe('5 error: no Docker answers at HOST: it answers 404');
    const stale = at('stale');
    execFileSync('mkdir', ['-p', path.join(stale, 'podman')]);
    // What a killed service leaves.
    execFileSync('python3', [
      '-c',
      'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])',
      path.join(stale, 'podman/podman.sock'),
    ]);
    const { code, stderr } = await load({ XDG_RUNTIME_DIR: stale }, '-t', 'kept');
    expect(code).toBe(0);
    expect(stderr).toContain('no Docker or podman is listening here: the image is in the store of tbuild, for tbuild run');
  });

  it('wants certificates that are not there', async () => {
    writeFileSync(at('ca.pem'), 'x');
    const env = { DOCKER_HOST: 'tcp://127.0.0.1:1', DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: folder };
    expect((await load(env)).stderr).toContain(`cannot read the certificate ${at('cert.pem')}`);
    expect((await load({ DOCKER_HOST: 'tcp://127.0.0.1:1' })).stderr).toContain('no Docker answers at tcp://127.0.0.1:1: ');
  });
});
