// The registry of Debian's package docker-registry, on loopback: what others run, beside which our own faulty one is held. Ends with the file's tests.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll } from 'vitest';

export interface DockerRegistry {
  /** `127.0.0.1:<port>`. */
  readonly host: string;
  /** Ends it as `kill -9` does; `start` has it there again, with all that it held. */
  kill(): Promise<void>;
  start(): Promise<void>;
}

export interface DockerRegistryOptions {
  /** What an htpasswd file says; unset: everybody may do everything. */
  readonly htpasswd?: string;
  /** `clientcas`: authorities of which clients must show certificates. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly clientcas?: readonly string[] };
  /** Of its configuration, in place of `htpasswd`. */
  readonly auth?: object;
}

// Not where one is started: a hook that is registered within another never runs.
const endings: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const end of endings) await end();
});

export async function startDockerRegistry({ htpasswd, tls, auth }: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const folder = mkdtempSync(path.join(tmpdir(), 'tbuild-registry-'));
  const host = `127.0.0.1:${await freePort()}`;
  const config = path.join(folder, 'config.json');
  const passwords = path.join(folder, 'htpasswd');
  if (htpasswd !== undefined) writeFileSync(passwords, htpasswd);
  // JSON is YAML.
  writeFileSync(
    config,
    JSON.stringify({
      version: '0.1',
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: path.join(folder, 'data') }, delete: { enabled: true } },
      http: { addr: host, ...(tls && { tls }) },
      ...(auth && { auth }),
      ...(htpasswd !== undefined && { auth: { htpasswd: { realm: 'tests', path: passwords } } }),
    }),
  );
  let child: ChildProcess | undefined;
  const kill = async (): Promise<void> => {
    const ending = child;
    child = undefined;
    if (!ending || ending.exitCode !== null) return;
    const ended = new Promise((resolve) => ending.once('exit', resolve));
    ending.kill('SIGKILL');
    await ended;
  };
  const start = async (): Promise<void> => {
    // It goes with the tests' process, however that ends.
    child = spawn('setpriv', ['--pdeathsig', 'KILL', 'docker-registry', 'serve', config], { stdio: 'ignore' });
    child.once('error', () => {});
    await answers(`${tls ? 'https' : 'http'}://${host}/`);
  };
  endings.push(async () => {
    await kill();
    rmSync(folder, { recursive: true, force: true });
  });
  await start();
  return { host, kill, start };
}

function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

async function answers(url: string): Promise<void> {
  const { Socket } = await import('node:net');
  const { hostname, port } = new URL(url);
  for (let attempt = 0; attempt < 400; attempt++) {
    const isThere = await new Promise<boolean>((resolve) => {
      const socket = new Socket();
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.connect(Number(port), hostname);
      setTimeout(() => resolve(false), 500).unref();
    });
    if (isThere) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error('docker-registry does not answer: is the Debian package docker-registry installed?');
}
