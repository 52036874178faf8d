// `npm run bench:cache`: a build in which all is cached, through an empty store and a registry's cache, beside buildah's --cache-from: requests, bytes
// fetched, wall. Then the same with one source edited. Says figures, judges nothing. Everything it makes is in one folder, removed at the end.

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as ask, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { loadBaseImages, makeBaseImages } from '../setup/base-images.ts';
import { startRegistryProcess } from '../test/support/registry-process.ts';
import { sh } from './measure.ts';

const repository = path.join(import.meta.dirname, '..');
const tbuild = path.join(repository, 'bin/tbuild');
mkdirSync(path.join(repository, '.tbuild'), { recursive: true });
const scratch = mkdtempSync(path.join(repository, '.tbuild/bench-'));
const containers = `--root ${scratch}/containers --runroot ${scratch}/containers-run`;
const traffic = { requests: 0, bytes: 0 };

/** Counts what goes to the registry, and what comes back. */
async function startCounter(target: string) {
  const [hostname, port] = target.split(':') as [string, string];
  const server = createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming;
    traffic.requests += 1;
    const passed = ask({ hostname, port, method, path: url, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode as number, answer.headers);
      answer.on('data', (chunk: Buffer) => {
        traffic.bytes += chunk.length;
      });
      answer.pipe(outgoing);
    });
    incoming.pipe(passed.on('error', () => outgoing.destroy()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, end: () => server.close() };
}

/** Not synchronous: the counter is in this process. */
function run(command: string, env: NodeJS.ProcessEnv = process.env): Promise<void> {
  const child = spawn('sh', ['-c', `${command} >${scratch}/log 2>&1`], { env });
  return new Promise((resolve, reject) => {
    child.once('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`${command} exited ${code}: ${sh(`tail -5 ${scratch}/log`)}`)),
    );
  });
}

async function measure(what: string, command: string, env?: NodeJS.ProcessEnv): Promise<void> {
  Object.assign(traffic, { requests: 0, bytes: 0 });
  const started = performance.now();
  await run(command, env);
  const seconds = (performance.now() - started) / 1000;
  const fetched = (traffic.bytes / 1e6).toFixed(2);
  console.log(
    `${what.padEnd(44)} ${seconds.toFixed(2).padStart(7)} s ${String(traffic.requests).padStart(5)} requests ${fetched.padStart(9)} MB fetched`,
  );
}

function makeContext(): string {
  const context = path.join(scratch, 'context');
  mkdirSync(path.join(context, 'src'), { recursive: true });
  for (let i = 0; i < 2000; i++) writeFileSync(path.join(context, 'src', `${i}.c`), `int f${i}(void) { return ${i}; }\n`);
  writeFileSync(path.join(context, 'lock'), 'deps 1\n');
  return context;
}

const registry = await startRegistryProcess();
const counter = await startCounter(registry.host);
try {
  const context = makeContext();
  const base = `${counter.host}/debian:12`;
  const dockerfile = [
    `FROM ${base} AS build`,
    'COPY lock /lock',
    'RUN mkdir /deps && for i in $(seq 100); do head -c 1000000 /dev/urandom > /deps/$i; done; cat /lock > /deps/lock',
    'COPY src /src',
    'RUN cat /src/*.c > /out.c && wc -l /deps/lock > /out.txt',
    `FROM ${base}`,
    'COPY --from=build /out.c /out.txt /',
    'RUN wc -l /out.c > /lines',
  ];
  writeFileSync(path.join(context, 'Dockerfile'), `${dockerfile.join('\n')}\n`);
  const env = (store: string) => ({ ...process.env, TBUILD_ROOT: path.join(scratch, store) });
  loadBaseImages(await makeBaseImages(() => {}), env('bases'), () => {});
  await run(`${tbuild} tag debian:12 ${base} && ${tbuild} push ${base}`, env('bases'));
  const cache = `type=registry,ref=${counter.host}/cache`;
  const push = `-t ${counter.host}/app --push`;
  const bud = `buildah ${containers} build --isolation chroot --layers --tls-verify=false --cache-from ${counter.host}/bcache`;
  const forget = () =>
    run(`buildah ${containers} rm -a; buildah ${containers} rmi -a -f; rm -rf ${scratch}/containers ${scratch}/containers-run`);

  await measure(
    'tbuild: everything built, written to the cache',
    `${tbuild} ${push} --cache-to ${cache},mode=max ${context}`,
    env('a'),
  );
  await measure('tbuild: all cached, empty store, pushed', `${tbuild} ${push} --cache-from ${cache} ${context}`, env('b'));
  await measure(
    'buildah: everything built, written',
    `${bud} --cache-to ${counter.host}/bcache -t ${counter.host}/bapp ${context} && buildah ${containers} push --tls-verify=false ${counter.host}/bapp`,
  );
  await forget();
  await measure(
    'buildah: all cached, empty store, pushed',
    `${bud} -t ${counter.host}/bapp ${context} && buildah ${containers} push --tls-verify=false ${counter.host}/bapp`,
  );
  await forget();
  writeFileSync(path.join(context, 'src/7.c'), 'int f7(void) { return 8; }\n');
  await measure('tbuild: one source edited, empty store, pushed', `${tbuild} ${push} --cache-from ${cache} ${context}`, env('c'));
  await measure(
    'buildah: one source edited, empty, pushed',
    `${bud} -t ${counter.host}/bapp ${context} && buildah ${containers} push --tls-verify=false ${counter.host}/bapp`,
  );
} finally {
  counter.end();
  await registry.end();
  sh(`buildah ${containers} rm -a || true; buildah ${containers} rmi -a -f || true`);
  rmSync(scratch, { recursive: true, force: true });
}
