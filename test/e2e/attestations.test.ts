// Provenance and SBOMs of builds: in the store, in archives that others read, in outputs of files; of what they speak, and that nothing else changes.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hostPlatform } from '../../src/oci/platform.ts';
import { makeContext } from '../support/contexts.ts';
import { build } from '../support/events.ts';
import { makeRepositories } from '../support/git-server.ts';
import { file, serveHttp } from '../support/http-server.ts';
import { spdxProblems } from '../support/spdx.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-attest-'));
});
afterAll(() => rmSync(folder, { recursive: true }));
let made = 0;
const newPath = () => path.join(folder, String(++made));

const own = `linux/${hostPlatform().architecture}`;
const dockerfile = `FROM busybox AS app
ARG TOKEN=none
COPY hello /hello
RUN --mount=type=secret,id=key cat /hello > /copied
CMD ["cat", "/copied"]
`;
const context = () => makeContext({ Dockerfile: dockerfile, hello: 'hello' });

interface Descriptor {
  readonly digest: string;
  readonly size: number;
  readonly mediaType: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: { readonly architecture: string; readonly os: string };
}

// biome-ignore lint/suspicious/noExplicitAny: documents of others' making, of which each test looks at some member
type Json = any;

interface Statement {
  readonly _type: string;
  readonly predicateType: string;
  readonly subject: readonly { readonly name: string; readonly digest: { readonly sha256: string } }[];
  readonly predicate: Json;
}

interface Attested {
  readonly manifest: Descriptor;
  readonly statements: readonly Statement[];
}

const blob = (layout: string, { digest }: { digest: string }) =>
  readFileSync(path.join(layout, 'blobs', digest.replace(':', '/')));

/** Of the index that a layout's only name stands for: images, and what is said of them. */
function readLayout(layout: string): Attested[] {
  const [top] = JSON.parse(readFileSync(path.join(layout, 'index.json'), 'utf8')).manifests;
  const { manifests } = JSON.parse(blob(layout, top).toString()) as { manifests: Descriptor[] };
  const isSaid = ({ annotations }: Descriptor) => annotations?.['vnd.docker.reference.type'] === 'attestation-manifest';
  return manifests
    .filter((each) => !isSaid(each))
    .map((manifest) => {
      const said = manifests.filter(
        (each) => isSaid(each) && each.annotations?.['vnd.docker.reference.digest'] === manifest.digest,
      );
      for (const { platform } of said) expect(platform).toEqual({ architecture: 'unknown', os: 'unknown' });
      const layers = said.flatMap((each) => JSON.parse(blob(layout, each).toString()).layers as Descriptor[]);
      const statements = layers.map((layer) => {
        const statement = JSON.parse(blob(layout, layer).toString()) as Statement;
        expect(layer.mediaType).toBe('application/vnd.in-toto+json');
        expect(layer.annotations).toEqual({ 'in-toto.io/predicate-type': statement.predicateType });
        return statement;
      });
      return { manifest, statements };
    });
}

async function buildLayout(args: readonly string[], store: string, output = ''): Promise<string> {
  const layout = newPath();
  await tbuildOk(['build', '-q', ...args, '-o', `type=oci,tar=false,dest=${layout}${output}`], { store });
  return layout;
}

const key = ['--secret', 'id=key,src=/etc/hostname'];

describe('beside an image', () => {
  const wanted = ['--provenance=mode=max', '--sbom=true', '--build-arg', 'TOKEN=abc', ...key];

  test('stands how it was built and what it is made of; nothing else changes', async () => {
    const store = freshStore();
    const ctx = context();
    const plain = await build(['-t', 'plain', '--build-arg', 'TOKEN=abc', ...key, ctx], { store });
    const layout = await buildLayout(['-t', 'app', ...wanted, ctx], store);
    const [attested, ...more] = readLayout(layout);
    expect(more).toEqual([]);
    const { manifest, statements } = attested as Attested;
    expect(statements.map(({ predicateType }) => predicateType)).toEqual([
      'https://slsa.dev/provenance/v1',
      'https://spdx.dev/Document',
    ]);
    for (const { _type, subject } of statements) {
      expect(_type).toBe('https://in-toto.io/Statement/v1');
      expect(subject).toEqual([
        { name: `pkg:docker/app@latest?platform=${encodeURIComponent(own)}`, digest: { sha256: manifest.digest.slice(7) } },
      ]);
    }
    const [{ predicate }, sbom] = statements as [Statement, Statement];
    expect(spdxProblems(sbom.predicate)).toEqual([]);
    const { buildDefinition, runDetails } = predicate;
    expect(buildDefinition.buildType).toMatch(/slsa-definitions\.md$/);
    expect(buildDefinition.externalParameters).toEqual({
      configSource: { path: 'Dockerfile' },
      request: {
        frontend: 'dockerfile.v0',
        args: { 'build-arg:TOKEN': 'abc' },
        secrets: [{ id: 'key', optional: true }],
        locals: [{ name: 'context' }, { name: 'dockerfile' }],
      },
    });
    expect(buildDefinition.resolvedDependencies).toEqual([
      {
        uri: `pkg:docker/busybox@latest?platform=${encodeURIComponent(own)}`,
        digest: { sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      },
    ]);
    expect(buildDefinition.internalParameters.buildConfig.llbDefinition).toHaveLength(4);
    expect(Buffer.from(runDetails.metadata.buildkit_metadata.source.infos[0].data, 'base64').toString()).toBe(dockerfile);
    expect(runDetails.metadata.buildkit_completeness).toEqual({ request: true, resolvedDependencies: false });
    // The image is what it is without all this, down to its ID.
    const config = JSON.parse(blob(layout, manifest).toString()).config.digest;
    expect(config).toBe(plain.image);
    expect(await tbuildOk(['run', '--rm', 'app'], { store })).toBe('hello');
  });

  test('others read it, and copy it whole', async () => {
    const store = freshStore();
    const layout = await buildLayout(['-t', 'app', ...wanted, context()], store);
    const copy = newPath();
    execFileSync('skopeo', ['copy', '--all', '-q', `oci:${layout}:latest`, `oci:${copy}:latest`], { stdio: 'pipe' });
    expect(readLayout(copy)).toEqual(readLayout(layout));
    const inspected = JSON.parse(execFileSync('skopeo', ['inspect', `oci:${layout}:latest`], { encoding: 'utf8' }));
    expect(inspected.Architecture).toBe(hostPlatform().architecture);
  });

  test('it is saved and loaded back without loss', async () => {
    const store = freshStore();
    await tbuildOk(['build', '-q', '-t', 'app', ...wanted, context()], { store });
    for (const format of ['oci', 'docker']) {
      const archive = newPath();
      await tbuildOk(['save', '--format', format, '-o', archive, 'app'], { store });
      const there = freshStore();
      expect(await tbuildOk(['load', '-i', archive], { store: there })).toBe('Loaded image: app:latest\n');
      const again = newPath();
      await tbuildOk(['save', '--format', format, '-o', again, 'app'], { store: there });
      expect(readFileSync(again).equals(readFileSync(archive)), format).toBe(true);
      const layout = newPath();
      mkdirSync(layout);
      execFileSync('tar', ['xf', archive, '-C', layout]);
      expect(readLayout(layout)[0]?.statements).toHaveLength(2);
      expect(await tbuildOk(['run', '--rm', 'app'], { store: there })).toBe('hello');
      expect(await tbuildOk(['fsck'], { store: there })).toContain('no problems');
    }
  });

  test('run, FROM, inspect and images do not see it, and it goes with the image', async () => {
    const store = freshStore();
    const before = readdirSync(path.join(store, 'blobs/sha256')).length;
    await tbuildOk(['build', '-q', '-t', 'app', ...wanted, context()], { store });
    const rows = (await tbuildOk(['images', '--format', 'json', 'app'], { store }))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(rows).toMatchObject([{ Repository: 'app', Platforms: [own] }]);
    const [inspected] = JSON.parse(await tbuildOk(['inspect', 'app'], { store }));
    expect(inspected).toMatchObject({ Architecture: hostPlatform().architecture, RepoTags: ['app:latest'] });
    await tbuildOk(['build', '-q', '-t', 'child', makeContext({ Dockerfile: 'FROM app\nRUN cat /copied\n' })], { store });
    await tbuildOk(['rmi', 'child', 'app'], { store });
    expect(readdirSync(path.join(store, 'blobs/sha256'))).toHaveLength(before);
  });

  test('each platform has its own', async () => {
    const store = freshStore();
    const ctx = makeContext({ Dockerfile: 'FROM scratch\nARG TARGETARCH\nCOPY a /$TARGETARCH\n', a: 'a' });
    const layout = await buildLayout(['-t', 'app', '--platform', 'linux/amd64,linux/arm64', '--provenance=mode=min', ctx], store);
    const found = readLayout(layout);
    expect(found.map(({ manifest }) => manifest.platform?.architecture)).toEqual(['amd64', 'arm64']);
    const ids = found.map(({ manifest, statements: [statement, ...more] }) => {
      expect(more).toEqual([]);
      expect(statement?.subject[0]?.digest.sha256).toBe(manifest.digest.slice(7));
      return statement?.predicate.runDetails.metadata.invocationId;
    });
    expect(new Set(ids).size).toBe(1);
  });

  test('the formats that have no place for it are refused, and others lose nothing', async () => {
    const store = freshStore();
    const ctx = context();
    const refused = await tbuild(['build', '-q', '--sbom=true', ...key, '-o', `type=docker,dest=${newPath()}`, ctx], { store });
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('docker exporter does not currently support') });
    const zstd = await buildLayout(['-t', 'app', ...wanted, ctx], store, ',compression=zstd,oci-mediatypes=false');
    const [{ manifest, statements } = { manifest: undefined, statements: [] }] = readLayout(zstd);
    expect(statements[0]?.subject[0]?.digest.sha256).toBe(manifest?.digest.slice(7));
  });
});

describe('provenance', () => {
  test('mode=min has no arguments, secrets, steps or Dockerfile', async () => {
    const args = ['--provenance=mode=min', '--build-arg', 'TOKEN=abcdef', '--label', 'l=v', '--target', 'app', ...key];
    const layout = await buildLayout([...args, context()], freshStore());
    const [
      {
        statements: [statement],
      } = { statements: [] },
    ] = readLayout(layout);
    expect(statement?.subject[0]?.name).toBe('_');
    const { buildDefinition, runDetails } = statement?.predicate ?? {};
    expect(buildDefinition.externalParameters.request).toEqual({
      frontend: 'dockerfile.v0',
      args: { target: 'app' },
      locals: [{ name: 'context' }, { name: 'dockerfile' }],
    });
    expect(buildDefinition.internalParameters).toEqual({ builderPlatform: own });
    expect(runDetails.metadata.buildkit_metadata).toEqual({});
    expect(runDetails.metadata.buildkit_completeness).toEqual({ request: false, resolvedDependencies: false });
    expect(JSON.stringify(statement)).not.toContain('abcdef');
  });

  test("what comes from far away is named with its digest, without what is nobody's business; such a build is complete and hermetic", async () => {
    const repositories = makeRepositories();
    const server = await serveHttp({ '/git/*': repositories.answer, '/data.json': file('far') });
    const commit = repositories.commit('app', {
      Dockerfile: `FROM busybox\nADD ${server.url}/data.json?token=hidden /\nRUN --network=none cat /data.json\n`,
    });
    const url = `${server.url}/git/app.git`;
    const layout = await buildLayout(['--provenance=builder-id=https://ci.example/7', url], freshStore());
    const [
      {
        statements: [statement],
      } = { statements: [] },
    ] = readLayout(layout);
    const { buildDefinition, runDetails } = statement?.predicate ?? {};
    const { configSource, request } = buildDefinition.externalParameters;
    expect(configSource).toEqual({
      uri: expect.stringMatching(`^${url}#refs/heads/`),
      digest: { sha1: commit },
      path: 'Dockerfile',
    });
    expect(request).toEqual({ frontend: 'dockerfile.v0', args: {} });
    expect(buildDefinition.resolvedDependencies).toContainEqual({ uri: configSource.uri, digest: { sha1: commit } });
    const sha256 = createHash('sha256').update('far').digest('hex');
    expect(buildDefinition.resolvedDependencies).toContainEqual({ uri: `${server.url}/data.json`, digest: { sha256 } });
    expect(JSON.stringify(buildDefinition.resolvedDependencies)).not.toContain('hidden');
    expect(runDetails.builder).toEqual({ id: 'https://ci.example/7' });
    expect(runDetails.metadata).toMatchObject({
      buildkit_hermetic: true,
      buildkit_completeness: { request: true, resolvedDependencies: true },
    });
  });

  test('with a time that is given, the same build says the same, cached or not', async () => {
    const args = ['--provenance=true', '--sbom=true', '--reproducible', ...key];
    const archives = [];
    const store = freshStore();
    for (const [where, ...more] of [[store], [store], [store, '--no-cache'], [freshStore()]] as const) {
      const archive = newPath();
      await tbuildOk(['build', '-q', ...args, ...more, '-o', `type=oci,dest=${archive}`, context()], { store: where });
      archives.push(createHash('sha256').update(readFileSync(archive)).digest('hex'));
    }
    expect(new Set(archives).size).toBe(1);
  });

  test('a cached build says it anew, and what it said before is gone', async () => {
    const store = freshStore();
    const ctx = context();
    const args = ['-t', 'app', '--provenance=true', ...key, ctx];
    const first = await build(args, { store });
    const again = await build(args, { store });
    expect(again.image).not.toBe(first.image);
    expect(new Set((await tbuildOk(['images', '-q'], { store })).trim().split('\n')).size).toBe(3);
  });
});

describe('an SBOM of more than the image', () => {
  const npm = (name: string) => JSON.stringify({ name, version: '1.0.0' });
  const files = {
    Dockerfile: `ARG BUILDKIT_SBOM_SCAN_STAGE=build
FROM scratch AS build
COPY module /node_modules/of-stage/package.json
FROM scratch AS unasked
COPY module /node_modules/unasked/package.json
FROM scratch AS asked
ARG BUILDKIT_SBOM_SCAN_STAGE=true
COPY module /x
FROM scratch AS unneeded
ARG BUILDKIT_SBOM_SCAN_STAGE=true
COPY module /node_modules/unneeded/package.json
FROM scratch
ARG BUILDKIT_SBOM_SCAN_CONTEXT=true
COPY --from=build / /build
COPY --from=unasked / /unasked
COPY --from=asked / /asked
`,
    module: npm('of-stage'),
    'node_modules/of-context/package.json': npm('of-context'),
    'node_modules/ignored/package.json': npm('ignored'),
    '.dockerignore': 'node_modules/ignored',
  };
  const packagesOf = (document: Json) => document.packages.slice(1).map((each: Json) => each.name) as string[];

  test('is what stages and the target ask for by arguments', async () => {
    const out = newPath();
    const ctx = makeContext(files);
    const store = freshStore();
    await tbuildOk(['build', '-q', '--sbom=true', '-o', out, ctx], { store });
    const read = (name: string) => JSON.parse(readFileSync(path.join(out, name), 'utf8')).predicate as Json;
    expect(
      readdirSync(out)
        .filter((name) => name.startsWith('sbom'))
        .sort(),
    ).toEqual(['sbom-asked.spdx.json', 'sbom-build.spdx.json', 'sbom-context.spdx.json', 'sbom.spdx.json']);
    expect(packagesOf(read('sbom-build.spdx.json'))).toEqual(['of-stage']);
    expect(packagesOf(read('sbom-context.spdx.json'))).toEqual(['of-context']);
    expect(read('sbom-context.spdx.json').packages[0]).toMatchObject({ name: 'context', primaryPackagePurpose: 'SOURCE' });
    for (const name of ['sbom-build.spdx.json', 'sbom-context.spdx.json']) expect(spdxProblems(read(name))).toEqual([]);

    const layout = newPath();
    const platforms = ['--platform', 'linux/amd64,linux/arm64'];
    const off = ['--build-arg', 'BUILDKIT_SBOM_SCAN_CONTEXT=false'];
    await tbuildOk(['build', '-q', '--sbom=true', ...platforms, ...off, '-o', `type=oci,tar=false,dest=${layout}`, ctx], {
      store,
    });
    for (const { statements } of readLayout(layout)) {
      expect(statements.map(({ predicate }) => predicate.name).slice(1)).toEqual(['build', 'asked']);
    }
  });
});

describe('in outputs of files', () => {
  const read = (...parts: string[]) => JSON.parse(readFileSync(path.join(...parts), 'utf8')) as Statement;

  test('are files, of every file that was built', async () => {
    const out = newPath();
    const args = ['--provenance=mode=min', '--sbom=true', ...key, '-o', `type=local,dest=${out},attestation-prefix=app-`];
    const ctx = makeContext({ Dockerfile: 'FROM scratch\nCOPY hello /\nCOPY hello /twice\n', hello: 'hello' });
    await tbuildOk(['build', '-q', ...args, ctx], { store: freshStore() });
    expect(readdirSync(out).sort()).toEqual(['app-provenance.json', 'app-sbom.spdx.json', 'hello', 'twice']);
    const sha256 = createHash('sha256').update('hello').digest('hex');
    for (const name of ['app-provenance.json', 'app-sbom.spdx.json'])
      expect(read(out, name).subject).toEqual(['hello', 'twice'].map((file) => ({ name: file, digest: { sha256 } })));
  });

  test('in a tar, and for several platforms beside each', async () => {
    const ctx = makeContext({ Dockerfile: 'FROM scratch\nARG TARGETARCH\nCOPY hello /$TARGETARCH\n', hello: 'hello' });
    const args = ['-q', '--provenance=mode=min', '--platform', 'linux/amd64,linux/arm64', ctx];
    const split = newPath();
    await tbuildOk(['build', ...args, '-o', `type=tar,dest=${split}`], { store: freshStore() });
    const list = (file: string) => execFileSync('tar', ['tf', file], { encoding: 'utf8' });
    expect(list(split)).toContain('linux_amd64/provenance.json');
    const together = newPath();
    await tbuildOk(['build', ...args, '-o', `type=tar,dest=${together},platform-split=false`], { store: freshStore() });
    expect(list(together)).toContain('provenance.linux_arm64.json');
  });

  test('but those that are wanted beside images alone', async () => {
    const out = newPath();
    const ctx = makeContext({ Dockerfile: 'FROM scratch\nCOPY hello /\n', hello: 'hello' });
    await tbuildOk(['build', '-q', '--provenance=inline-only=true', '-o', out, ctx], { store: freshStore() });
    expect(readdirSync(out)).toEqual(['hello']);
  });

  test('and no link of the image leads one elsewhere', async () => {
    const out = newPath();
    const target = newPath();
    const ctx = makeContext({ Dockerfile: 'FROM scratch\nCOPY links /\n', 'links/provenance.json': { link: target } });
    await tbuildOk(['build', '-q', '--provenance=true', '-o', out, ctx], { store: freshStore() });
    expect(existsSync(target)).toBe(false);
    expect(read(out, 'provenance.json').predicateType).toBe('https://slsa.dev/provenance/v1');
  });
});
