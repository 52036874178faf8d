// Who a user is to a registry: the real docker-registry with passwords, with TLS and certificates of clients, helpers, mirrors; settings as docker and podman
// have them. Everything below a HOME of the test's own.

import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeBaseImages } from '../../setup/base-images.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { emptyStore, freshStore } from '../support/stores.ts';
import { tbuild } from '../support/tbuild.ts';

const work = mkdtempSync(path.join(tmpdir(), 'tbuild-login-'));
const home = path.join(work, 'home');
const env = { HOME: home, DOCKER_CONFIG: undefined, REGISTRY_AUTH_FILE: undefined, XDG_RUNTIME_DIR: undefined };
const password = 's3cret:word';
// bcrypt of it, for the user ada.
const htpasswd = `ada:$2b$04$lpkJNbEDPLC3cZM9ZS01tu4c19CRGRHoga5ZA2hw7l8k43vcutcci\n`;
let registry: DockerRegistry;
let layout: string;

afterAll(() => rmSync(work, { recursive: true, force: true }));

beforeAll(async () => {
  registry = await startDockerRegistry({ htpasswd });
  layout = (await makeBaseImages(() => {})).find(({ names }) => names.includes('busybox:latest'))?.layout as string;
  const flags = ['--dest-tls-verify=false', '--dest-creds', `ada:${password}`];
  execFileSync('skopeo', ['copy', '-q', ...flags, `oci:${layout}`, `docker://${registry.host}/team/app:1`]);
}, 120_000);

beforeEach(() => {
  rmSync(home, { recursive: true, force: true });
  mkdirSync(home);
});

const run = (args: readonly string[], input?: string, more: NodeJS.ProcessEnv = {}) =>
  tbuild(args, { store: emptyStore(), env: { ...env, ...more }, ...(input !== undefined && { input }) });

const login = (input = `${password}\n`, more: NodeJS.ProcessEnv = {}) =>
  run(['login', '-u', 'ada', '--password-stdin', registry.host], input, more);

const configFile = () => path.join(home, '.docker/config.json');

it('a push goes up with what login kept; without it the hint says so', async () => {
  const store = freshStore();
  const name = `${registry.host}/team/pushed:1`;
  const pushAs = async () => tbuild(['push', name], { store, env });
  await tbuild(['tag', 'busybox', name], { store });
  const refused = await pushAs();
  expect(refused.code).toBe(5);
  expect(refused.stderr).toContain('push access denied, repository does not exist or may require authorization');
  expect(refused.stderr).toContain(`hint: tbuild login ${registry.host} says who you are`);
  await login();
  expect(await pushAs()).toMatchObject({ code: 0, stdout: expect.stringMatching(/^1: digest: sha256:/m) });
  expect((await run(['pull', '-q', name])).code).toBe(0);
});

describe('login', () => {
  it('tries, keeps, and pulls with what it kept; logout forgets it', async () => {
    const refused = await run(['pull', `${registry.host}/team/app:1`]);
    expect(refused.code).toBe(5);
    expect(refused.stderr).toContain(
      `error: ${registry.host}/team/app:1: pull access denied, repository does not exist or may require authorization`,
    );
    expect(refused.stderr).toContain(`hint: tbuild login ${registry.host} says who you are`);
    const { code, stdout, stderr } = await login();
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'Login Succeeded\n' });
    expect(stderr).toContain(`stored unencrypted in '${configFile()}'`);
    expect(statSync(configFile()).mode & 0o777).toBe(0o600);
    expect((await run(['pull', '-q', `${registry.host}/team/app:1`])).code).toBe(0);
    expect((await run(['login', registry.host])).stdout).toBe('Authenticating with existing credentials...\nLogin Succeeded\n');
    expect((await run(['logout', registry.host])).stdout).toBe(`Removing login credentials for ${registry.host}\n`);
    expect((await run(['logout', `http://${registry.host}/`])).stdout).toBe(`Not logged in to ${registry.host}\n`);
    expect((await run(['pull', `${registry.host}/team/app:1`])).code).toBe(5);
  });

  it('keeps nothing that is refused, and never says it', async () => {
    const { code, stderr, stdout } = await login('wrong-word\n');
    expect(code).toBe(5);
    expect(stderr).toContain(`error: ${registry.host} does not take these credentials`);
    expect(stderr + stdout).not.toContain('wrong-word');
    expect(existsSync(configFile())).toBe(false);
  });

  it('leaves what else is in the file as it is', async () => {
    mkdirSync(path.dirname(configFile()));
    writeFileSync(configFile(), '{"detachKeys": "ctrl-x", "auths": {"quay.io": {"auth": "YTpi"}}, "proxies": {"a": 1}}');
    await login();
    expect(JSON.parse(readFileSync(configFile(), 'utf8'))).toEqual({
      detachKeys: 'ctrl-x',
      auths: { 'quay.io': { auth: 'YTpi' }, [registry.host]: { auth: Buffer.from(`ada:${password}`).toString('base64') } },
      proxies: { a: 1 },
    });
  });

  it('needs a terminal, or all that it would ask', async () => {
    expect((await run(['login', registry.host])).stderr).toContain('cannot perform an interactive login from a non TTY device');
    expect((await run(['login', '--password-stdin', registry.host], 'x')).stderr).toContain('--password-stdin needs --username');
    const insecure = await run(['login', '-u', 'ada', '-p', password, registry.host]);
    expect(insecure.stderr).toContain('WARNING! Using --password via the CLI is insecure. Use --password-stdin.');
    expect(insecure.code).toBe(0);
  });

  it('reads what skopeo and podman wrote, by part of a registry too', async () => {
    const file = path.join(work, 'auth.json');
    execFileSync('skopeo', ['login', '--tls-verify=false', '--authfile', file, '-u', 'ada', '-p', password, registry.host], {
      stdio: 'ignore',
    });
    expect((await run(['pull', '-q', `${registry.host}/team/app:1`], '', { REGISTRY_AUTH_FILE: file })).code).toBe(0);
    const auth = Buffer.from(`ada:${password}`).toString('base64');
    writeFileSync(file, JSON.stringify({ auths: { [registry.host]: { auth: 'eDp5' }, [`${registry.host}/team`]: { auth } } }));
    expect((await run(['pull', '-q', `${registry.host}/team/app:1`], '', { REGISTRY_AUTH_FILE: file })).code).toBe(0);
  });
});

describe('a credential helper', () => {
  const folder = path.join(work, 'bin');

  /** It keeps one file, and says what it was told on standard error. */
  function installHelper(script: string): NodeJS.ProcessEnv {
    mkdirSync(folder, { recursive: true });
    const program = path.join(folder, 'docker-credential-test');
    writeFileSync(program, `#!/bin/sh\nkept=${work}/kept\n${script}`);
    chmodSync(program, 0o755);
    mkdirSync(path.dirname(configFile()), { recursive: true });
    writeFileSync(configFile(), JSON.stringify({ credsStore: 'test' }));
    return { PATH: `${folder}:${process.env.PATH}` };
  }

  it('stores, gets, erases', async () => {
    const more = installHelper(`
case $1 in
  store) cat >$kept ;;
  get) read server; if [ -e $kept ]; then cat $kept; else echo "credentials not found in native keychain"; exit 1; fi ;;
  erase) rm $kept ;;
esac`);
    const { code, stderr } = await login(undefined, more);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(readFileSync(path.join(work, 'kept'), 'utf8'))).toEqual({
      ServerURL: registry.host,
      Username: 'ada',
      Secret: password,
    });
    expect(JSON.parse(readFileSync(configFile(), 'utf8'))).toEqual({ credsStore: 'test' });
    expect((await run(['pull', '-q', `${registry.host}/team/app:1`], '', more)).code).toBe(0);
    expect((await run(['logout', registry.host], '', more)).stdout).toContain('Removing login credentials');
    expect(existsSync(path.join(work, 'kept'))).toBe(false);
  });

  it('that fails stands in nobody’s way, and is named when its help was needed', async () => {
    const more = installHelper('echo "the keychain is locked" >&2; exit 2');
    const { code, stderr } = await run(['pull', `${registry.host}/team/app:1`], '', more);
    expect(code).toBe(5);
    expect(stderr).toContain('pull access denied');
    expect(stderr).toContain('hint: the credential helper test fails: the keychain is locked');
  });
});
