// `npm run bench:registry`: images in and out, through a docker-registry on loopback, beside buildah and skopeo, and beside what inflating and hashing
// alone cost. The image is one of real packages; for the memory there is a layer of 2 GiB. Says figures, judges nothing.
// Takes some five minutes, most of them for the image and the peers. Everything it makes is in one folder, removed at the end.

import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { loadBaseImages, makeBaseImages } from '../setup/base-images.ts';
import { startRegistryProcess } from '../test/support/registry-process.ts';
import { compare, median, peakMemory, peer, type Rival, sh, show, type Timing } from './measure.ts';

const repository = path.join(import.meta.dirname, '..');
const tbuild = path.join(repository, 'bin/tbuild');
mkdirSync(path.join(repository, '.tbuild'), { recursive: true });
const scratch = mkdtempSync(path.join(repository, '.tbuild/bench-'));
const env = { ...process.env, TBUILD_ROOT: path.join(scratch, 'store') };
const containers = `--root ${scratch}/containers --runroot ${scratch}/containers-run`;
const runs = Number(process.env.BENCH_RUNS ?? 3);
const packages = 'build-essential python3-dev git cmake nodejs clang';

const registry = await startRegistryProcess();
const name = `${registry.host}/app`;
try {
  loadBaseImages(await makeBaseImages(() => {}), env, () => {});
  makeImages();
  pull();
  writeCompressed();
  memory();
} finally {
  await registry.end();
  sh(`buildah ${containers} rm -a || true; buildah ${containers} rmi -a -f || true`);
  rmSync(scratch, { recursive: true, force: true });
}

function makeImages(): void {
  const context = path.join(scratch, 'context');
  mkdirSync(context);
  const install = packages.split(' ').map((each) => `RUN apt-get install -y --no-install-recommends ${each}`);
  writeFileSync(path.join(context, 'Dockerfile'), `FROM debian:12\nRUN apt-get update\n${install.join('\n')}\n`);
  writeFileSync(
    path.join(context, 'Dockerfile.large'),
    'FROM busybox\nRUN for i in $(seq 8); do dd if=/dev/urandom bs=1M count=64; dd if=/dev/zero bs=1M count=192; done > /large\n',
  );
  sh(`${tbuild} -q -t app ${context} && ${tbuild} -q -t large -f ${context}/Dockerfile.large ${context}`, env);
  for (const image of ['app', 'large']) {
    sh(`${tbuild} save --format oci -o ${scratch}/${image}.tar ${image}`, env);
    const to = `docker://${registry.host}/${image}`;
    sh(`skopeo copy -q --dest-compress-format gzip --dest-tls-verify=false oci-archive:${scratch}/${image}.tar ${to}`);
  }
  const entries = sh(`${tbuild} -o - ${context} | tar t | wc -l`, env).trim();
  const [{ Size: bytes }] = JSON.parse(sh(`${tbuild} inspect app`, env)) as [{ Size: number }];
  console.log(`app: debian:12 with ${packages}: ${entries} entries, ${(bytes / 1e6).toFixed(0)} MB`);
}

/** Emptied, and nothing of it in the page cache. */
function forget(folder: string): () => void {
  return () => {
    rmSync(path.join(scratch, folder), { recursive: true, force: true });
    sh('sync; echo 3 > /proc/sys/vm/drop_caches');
  };
}

function pull(): void {
  const manifest = JSON.parse(sh(`skopeo inspect --raw --tls-verify=false docker://${name}`)) as { layers: { digest: string }[] };
  const blobs = manifest.layers.map(({ digest }) => {
    const hex = digest.replace('sha256:', '');
    return `${registry.data}/docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`;
  });
  const limit = 'gzip -dc | openssl dgst -sha256';
  const ours = 'tbuild run --rm (pulls)';
  const rivals: Rival[] = [
    { name: limit, command: `for blob in ${blobs.join(' ')}; do gzip -dc $blob | openssl dgst -sha256; done` },
    { name: ours, command: `TBUILD_ROOT=${scratch}/pulled ${tbuild} run --rm ${name} true`, before: forget('pulled') },
    ...peer({
      name: 'buildah from, run',
      command: `c=$(buildah ${containers} from --tls-verify=false ${name}) && buildah ${containers} run --isolation chroot $c true`,
      before: () => {
        sh(`buildah ${containers} rm -a; buildah ${containers} rmi -a -f || true`);
        forget('nothing')();
      },
    }),
  ];
  const timings = compare(rivals, runs, env);
  const wall = (rival: string) => median(timings.get(rival)?.wallMs ?? []);
  show('A pull into an empty store, and a run of what was pulled', timings, [
    `${(wall(ours) / wall('buildah from, run')).toFixed(2)} of buildah's time (aim: at most 0.20)`,
    `${(wall(ours) / median(timings.get(limit)?.cpuMs ?? [])).toFixed(2)} times the CPU of inflating and hashing (aim: at most 1.5)`,
  ]);
}

function writeCompressed(): void {
  sh(`buildah ${containers} pull -q oci-archive:${scratch}/app.tar app || true`);
  const [image] = sh(`buildah ${containers} images -q`).split('\n');
  for (const compression of ['gzip', 'zstd']) {
    const out = path.join(scratch, `out-${compression}.tar`);
    const before = () => rmSync(out, { force: true });
    const sizes = new Map<string, number>();
    const build = `${tbuild} -q -o type=oci,compression=${compression},force-compression=true,dest=${out} ${scratch}/context`;
    const rivals: Rival[] = [
      { name: `tbuild -o type=oci, ${compression}`, command: build, before },
      ...peer({
        name: `buildah push oci-archive, ${compression}`,
        command: `buildah ${containers} push --compression-format ${compression} ${image} oci-archive:${out}`,
        before,
      }),
    ];
    const timings = compare(rivals, runs, env);
    for (const rival of rivals) {
      before();
      sh(rival.command, env);
      sizes.set(rival.name, statSync(out).size);
    }
    before();
    const [ours, theirs] = [...timings.values()].map(({ cpuMs }: Timing) => median(cpuMs));
    const [ourSize, theirSize] = [...sizes.values()];
    show(`The image written with ${compression}`, timings, [
      `${((ours ?? 0) / (theirs ?? 1)).toFixed(2)} of buildah's CPU (aim: ${compression === 'gzip' ? 'a third' : 'half'})`,
      `${((ourSize ?? 0) / 1e6).toFixed(1)} MB, buildah's ${((theirSize ?? 0) / 1e6).toFixed(1)} MB`,
    ]);
  }
  const plain = Number(
    sh(
      `for layer in $(tar tf ${scratch}/app.tar | grep blobs/sha256/.); do tar xOf ${scratch}/app.tar $layer | gzip -6; done | wc -c`,
    ),
  );
  console.log(`  → gzip -6 of the same layers: ${(plain / 1e6).toFixed(1)} MB`);
}

/** Of the largest process, in MiB: one layer of 2 GiB pulled, saved and compressed. */
function memory(): void {
  const store = path.join(scratch, 'pulled');
  rmSync(store, { recursive: true, force: true });
  const commands = {
    'pull of a layer of 2 GiB': `TBUILD_ROOT=${store} ${tbuild} pull -q ${registry.host}/large`,
    'save of it': `TBUILD_ROOT=${store} ${tbuild} save --format oci -o ${scratch}/large.tar ${registry.host}/large`,
    'its compression with gzip': `${tbuild} -q -o type=oci,compression=gzip,dest=${scratch}/large.tar -f ${scratch}/context/Dockerfile.large ${scratch}/context`,
  };
  console.log('\nPeak memory of the largest process');
  for (const [what, command] of Object.entries(commands)) console.log(`  ${what.padEnd(44)} ${peakMemory(command, env)} MiB`);
}
