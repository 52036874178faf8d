// https: certificates are checked, with those that users have put in place; nothing falls back to http that was not allowed to. The real docker-registry,
// with certificates that openssl makes, and a HOME of the test's own.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { makeBaseImages } from '../../setup/base-images.ts';
import { makeContext } from '../support/contexts.ts';
import { startDockerRegistry } from '../support/docker-registry.ts';
import { serveFaulty } from '../support/faulty-registry.ts';
import { emptyStore, freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

const work = mkdtempSync(path.join(tmpdir(), 'tbuild-tls-'));
const home = path.join(work, 'home');
const at = (name: string) => path.join(work, name);
afterAll(() => rmSync(work, { recursive: true, force: true }));

beforeAll(() => {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: work, stdio: 'ignore' });
  openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=ca',
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
  );
  for (const name of ['server', 'client']) {
    openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
    writeFileSync(at('san'), 'subjectAltName=IP:127.0.0.1');
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      'san',
      '-out',
      `${name}.crt`,
    );
  }
});

beforeEach(() => {
  rmSync(home, { recursive: true, force: true });
  mkdirSync(path.join(home, '.config/containers'), { recursive: true });
});

/** Nothing of this machine's is believed. */
const env = {
  HOME: home,
  DOCKER_CONFIG: undefined,
  REGISTRY_AUTH_FILE: undefined,
  XDG_RUNTIME_DIR: undefined,
  NODE_EXTRA_CA_CERTS: undefined,
  SSL_CERT_DIR: home,
  SSL_CERT_FILE: '/dev/null',
};

const pull = (name: string, more: NodeJS.ProcessEnv = {}, store = emptyStore()) =>
  tbuild(['pull', '-q', name], { store, env: { ...env, ...more } });

function trust(host: string, files: Readonly<Record<string, string>>): void {
  const folder = path.join(home, '.config/containers/certs.d', host);
  mkdirSync(folder, { recursive: true });
  for (const [name, from] of Object.entries(files)) cpSync(at(from), path.join(folder, name));
}

const settings = (toml: string) => writeFileSync(path.join(home, '.config/containers/registries.conf'), toml);

async function push(host: string, ...flags: string[]): Promise<string> {
  const layout = (await makeBaseImages(() => {})).find(({ names }) => names.includes('busybox:latest'))?.layout as string;
  execFileSync('skopeo', ['copy', '-q', '--dest-tls-verify=false', ...flags, `oci:${layout}`, `docker://${host}/app:1`]);
  return `${host}/app:1`;
}

it('is checked, unless that was allowed not to be', async () => {
  const { host } = await startDockerRegistry({ tls: { certificate: at('server.crt'), key: at('server.key') } });
  const name = await push(host);
  expect((await pull(name)).code).toBe(0);
  settings(`[[registry]]\nlocation = "${host}"\ninsecure = false`);
  const { code, stderr } = await pull(name);
  expect(code).toBe(5);
  expect(stderr).toContain(`error: the certificate of ${host} is not trusted: unable to verify the first certificate`);
  expect(stderr).toContain(`hint: the certificate of its authority goes to /etc/docker/certs.d/${host}/ca.crt`);
  trust(host, { 'ca.crt': 'ca.crt' });
  expect((await pull(name)).code).toBe(0);
});

it('is checked with the authorities of the system, for images and for ADD', async () => {
  const { host } = await startDockerRegistry({ tls: { certificate: at('server.crt'), key: at('server.key') } });
  const name = await push(host);
  settings(`[[registry]]\nlocation = "${host}"\ninsecure = false`);
  const context = makeContext({ Dockerfile: `FROM scratch\nADD https://${host}/v2/ /answer\n` });
  const build = (more: NodeJS.ProcessEnv) => tbuild(['build', context], { store: emptyStore(), env: { ...env, ...more } });
  expect((await pull(name)).code).toBe(5);
  expect((await build({})).code).toBe(4);
  expect(await pull(name, { SSL_CERT_FILE: at('ca.crt') })).toMatchObject({ code: 0, stderr: '' });
  expect((await build({ SSL_CERT_FILE: at('ca.crt') })).code).toBe(0);
});

it('is pushed to, with a client’s certificate', async () => {
  const tls = { certificate: at('server.crt'), key: at('server.key'), clientcas: [at('ca.crt')] };
  const { host } = await startDockerRegistry({ tls });
  const store = freshStore();
  const name = `${host}/pushed:1`;
  await tbuildOk(['tag', 'busybox', name], { store });
  const push = () => tbuild(['push', name], { store, env });
  trust(host, { 'ca.crt': 'ca.crt' });
  expect((await push()).stderr).toMatch(/certificate required|cannot reach the registry/);
  trust(host, { 'client.cert': 'client.crt', 'client.key': 'client.key' });
  expect(await push()).toMatchObject({ code: 0, stderr: '' });
  expect((await pull(name)).code).toBe(0);
  // Blobs are asked for again, and found.
  expect((await tbuild(['push', name], { store, env })).stdout).toContain('Layer already exists');
});

it('shows a client’s certificate where there is one', async () => {
  const tls = { certificate: at('server.crt'), key: at('server.key'), clientcas: [at('ca.crt')] };
  const { host } = await startDockerRegistry({ tls });
  trust(host, { 'client.cert': 'client.crt', 'client.key': 'client.key' });
  const name = await push(host, '--dest-cert-dir', path.join(home, '.config/containers/certs.d', host));
  trust(host, { 'ca.crt': 'ca.crt' });
  expect((await pull(name)).code).toBe(0);
  rmSync(path.join(home, '.config/containers/certs.d', host, 'client.key'));
  expect((await pull(name)).stderr).toContain('has no key: client.key is missing beside it');
  rmSync(path.join(home, '.config/containers/certs.d', host, 'client.cert'));
  expect((await pull(name)).stderr).toMatch(/certificate required|cannot reach the registry/);
});

it('never falls back to http unless told', async () => {
  const { host } = await startDockerRegistry();
  const name = await push(host);
  settings(`[[registry]]\nlocation = "${host}"\ninsecure = false`);
  const { code, stderr } = await pull(name);
  expect({ code, stderr }).toEqual({
    code: 5,
    stderr: `error: ${host} does not speak TLS\nhint: where it may do without, say so in /etc/containers/registries.conf: insecure = true\n`,
  });
});

it('sends nobody to a token server without TLS', async () => {
  const tls = { certificate: at('server.crt'), key: at('server.key') };
  const token = { realm: 'http://127.0.0.1:1/token', service: 'x', issuer: 'x', rootcertbundle: at('ca.crt') };
  const { host } = await startDockerRegistry({ tls, auth: { token } });
  expect((await pull(`${host}/app:1`)).stderr).toContain(
    `${host} names a token server that is not asked: "http://127.0.0.1:1/token"\nhint: it is no https URL`,
  );
});

it('asks mirrors first, and the registry when they fail', async () => {
  const mirror = await serveFaulty();
  const { host } = await startDockerRegistry();
  await push(host);
  settings(`
    [[registry]]
    prefix = "registry.invalid/team"
    location = "${host}"
    [[registry.mirror]]
    location = "${mirror.host}/cache"
    insecure = true`);
  expect((await pull('registry.invalid/team/app:1')).code).toBe(0);
  expect(mirror.log).toContain('GET /v2/cache/app/manifests/1 404');
  const { stderr } = await pull('registry.invalid/team/app:2');
  expect(stderr).toContain('error: registry.invalid/team/app:2: not found\nhint: its mirrors failed, too: ');
});
