// The registry of Debian's package docker-registry, on loopback, for tests and benches: what others run.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

export interface RegistryProcess {
  /** `127.0.0.1:<port>`. */
  readonly host: string;
  /** What it holds is below: `docker/registry/v2/…`. */
  readonly data: string;
  /** Ends it as `kill -9` does; `start` has it there again, with all that it held. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Nothing of it stays. */
  end(): Promise<void>;
}

export interface DockerRegistryOptions {
  /** Unset: what is in it may be removed. */
  readonly isDeletable?: boolean;
  /** What an htpasswd file says; unset: everybody may do everything. */
  readonly htpasswd?: string;
  /** `clientcas`: authorities of which clients must show certificates. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly clientcas?: readonly string[] };
  /** Of its configuration, in place of `htpasswd`. */
  readonly auth?: object;
}

export async function startRegistryProcess({
  htpasswd,
  tls,
  auth,
  isDeletable = true,
}: DockerRegistryOptions = {}): Promise<RegistryProcess> {
  const folder = mkdtempSync(path.join(tmpdir(), 'tbuild-registry-'));
  const host = `127.0.0.1:${await freePort()}`;
  const config = path.join(folder, 'config.json');
  const passwords = path.join(folder, 'htpasswd');
  const data = path.join(folder, 'data');
  if (htpasswd !== undefined) writeFileSync(passwords, htpasswd);
  // JSON is YAML.
  writeFileSync(
    config,
    JSON.stringify({
      version: '0.1',
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: data }, delete: { enabled: isDeletable } },
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
    // It goes with the process that started it, however that ends.
    child = spawn('setpriv', ['--pdeathsig', 'KILL', 'docker-registry', 'serve', config], { stdio: 'ignore' });
    child.once('error', () => {});
    await answers(`${tls ? 'https' : 'http'}://${host}/`);
  };
  const end = async (): Promise<void> => {
    await kill();
    rmSync(folder, { recursive: true, force: true });
  };
  await start();
  return { host, data, kill, start, end };
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
