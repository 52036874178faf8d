// How provenance tells the steps of a build: LLB's operations, what each reads and writes, and which are of the image.
import { expect, test } from 'vitest';
import { describeSteps, locateSteps, stepsOf } from '../../../src/build/attest/steps.ts';
import { parseDockerfile } from '../../../src/dockerfile/parse.ts';
import { planBuild } from '../../../src/plan/plan.ts';

const linux = { os: 'linux', architecture: 'amd64' };
const bases = { config: async () => ({ ...linux, rootfs: { type: 'layers' as const, diff_ids: [`sha256:${'0'.repeat(64)}`] } }) };

async function plan(text: string) {
  const options = { buildArgs: {}, buildPlatform: linux, labels: {}, contexts: {} };
  const { steps, target } = await planBuild(parseDockerfile(text, 'Dockerfile'), options, bases);
  return stepsOf(target, steps);
}

// biome-ignore lint/suspicious/noExplicitAny: JSON in the shape of protobuf's
const operations = async (text: string): Promise<any[]> => describeSteps(await plan(text));

test('an empty root is no input', async () => {
  const [, copy] = await operations('FROM scratch\nCOPY a b /x/\n');
  expect(copy.inputs).toEqual(['step0:0']);
  expect(copy.op.Op.file.actions).toMatchObject([
    { input: -1, secondaryInput: 0, Action: { copy: { src: 'a', dest: '/x/' } } },
    { input: -1, secondaryInput: 0, Action: { copy: { src: 'b', dest: '/x/' } } },
  ]);
});

test('owners, modes, heredocs and directories', async () => {
  const steps = await operations(
    'FROM base\nWORKDIR /w\nCOPY --chown=1:2 --chmod=u=rw --exclude=*.o a /\nCOPY <<f /g\ntext\nf\n',
  );
  expect(steps.slice(1).flatMap(({ op }) => op.Op.file?.actions ?? [])).toMatchObject([
    { input: 0, secondaryInput: -1, Action: { mkdir: { path: '/w' } } },
    {
      input: 0,
      secondaryInput: 1,
      Action: { copy: { owner: { user: '1', group: '2' }, modeStr: 'u=rw', excludePatterns: ['*.o'] } },
    },
    {
      input: 0,
      secondaryInput: -1,
      Action: { mkfile: { path: 'f', dest: '/g', data: Buffer.from('text\n').toString('base64') } },
    },
  ]);
});

test('mounts name who may have a secret, and where others are from', async () => {
  const mounts = [
    'type=bind,from=other,target=/b',
    'type=cache,target=/c',
    'type=tmpfs,target=/t',
    'type=secret,id=s',
    'type=ssh',
  ];
  const flags = mounts.map((mount) => `--mount=${mount}`).join(' ');
  const steps = await operations(`FROM other AS other\nFROM base\nUSER u\nRUN --network=none ${flags} make\n`);
  const { op, inputs } = steps.at(-1);
  expect(inputs).toHaveLength(2);
  expect(op.Op.exec).toMatchObject({
    meta: { args: ['/bin/sh', '-c', 'make'], cwd: '/', user: 'u' },
    network: 2,
    mounts: [
      { input: 0, dest: '/', output: 0 },
      { input: 1, dest: '/b', readonly: true },
      { input: -1, dest: '/c', mountType: 3 },
      { input: -1, dest: '/t', mountType: 4 },
      { input: -1, mountType: 1, secretOpt: { ID: 's', optional: true } },
      { input: -1, mountType: 2, SSHOpt: { ID: 'default', optional: true } },
    ],
  });
});

test('sources have no user, password or parameters', async () => {
  const text = 'FROM base\nADD https://u:p@host.test/f?sig=1 /\nADD https://u:p@host.test/r.git?ref=v1 /\n';
  const sources = (await operations(text)).flatMap(({ op }) => op.Op.source?.identifier ?? []);
  expect(sources).toEqual(['docker-image://docker.io/library/base:latest', 'https://host.test/f', 'git://host.test/r.git#v1']);
});

test('steps stand where the Dockerfile has them', async () => {
  expect(locateSteps(await plan('FROM base\nRUN a \\\n  b\n'))).toEqual({
    step0: { locations: [{ ranges: [{ start: { line: 1 }, end: { line: 1 } }] }] },
    step1: { locations: [{ ranges: [{ start: { line: 2 }, end: { line: 3 } }] }] },
  });
});
