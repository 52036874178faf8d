// The graphs of several platforms as one.
import { expect, test } from 'vitest';
import { parseDockerfile } from '../../../src/dockerfile/parse.ts';
import type { Plan } from '../../../src/plan/graph.ts';
import { planBuild } from '../../../src/plan/plan.ts';
import { joinGraphs } from '../../../src/plan/several-platforms.ts';

const host = { os: 'linux', architecture: 'amd64' };
const other = { os: 'linux', architecture: 'arm64' };

async function planFor(text: string): Promise<Plan> {
  const bases = {
    config: async (_: string, platform: typeof host) => ({
      ...platform,
      rootfs: { type: 'layers' as const, diff_ids: ['sha256:1'] },
    }),
  };
  const options = { buildArgs: {}, buildPlatform: host, labels: {}, contexts: {}, showsPlatform: true };
  const parsed = parseDockerfile(Buffer.from(text), 'Dockerfile');
  return joinGraphs([
    await planBuild(parsed, { ...options, platform: host }, bases),
    await planBuild(parsed, { ...options, platform: other }, bases),
  ]);
}

const namesOf = ({ steps }: Plan) => steps.map(({ name }) => name);

test('what is told the same on the same is there once; what stands on another base is not', async () => {
  const plan = await planFor('FROM scratch AS files\nCOPY a /\nFROM base\nCOPY --from=files /a /\nADD https://localhost/b /\n');
  expect(namesOf(plan)).toEqual([
    '[internal] load build context',
    '[linux/amd64 files 1/1] COPY a /',
    '[linux/amd64 stage-1 1/3] FROM docker.io/library/base:latest',
    '[linux/amd64 stage-1 2/3] COPY --from=files /a /',
    'https://localhost/b',
    '[linux/amd64 stage-1 3/3] ADD https://localhost/b /',
    '[linux/arm64 stage-1 1/3] FROM docker.io/library/base:latest',
    '[linux/arm64 stage-1 2/3] COPY --from=files /a /',
    '[linux/arm64 stage-1 3/3] ADD https://localhost/b /',
  ]);
  for (const { id, parent, op } of plan.steps) {
    expect(plan.steps[id]?.op).toBe(op);
    const inputs = op.kind === 'copy' ? [op.from, ...op.remotes.map(({ from }) => from)] : [];
    for (const input of [parent, ...inputs]) if (input !== undefined) expect(input).toBeLessThan(id);
  }
  expect(plan.targets.map(({ state }) => state)).toEqual([5, 8]);
  expect(plan.targets.map(({ history }) => history.map(({ step }) => step))).toEqual([
    [undefined, 3, 5],
    [undefined, 7, 8],
  ]);
});

test("a stage on the build's own platform runs once, unless it asks what it is for", async () => {
  const tools = 'FROM --platform=$BUILDPLATFORM base AS tools\n';
  const rest = 'RUN make\nFROM scratch\nCOPY --from=tools /made /\n';
  const runs = (plan: Plan) => namesOf(plan).filter((name) => name.includes('RUN'));
  expect(runs(await planFor(tools + rest))).toEqual(['[linux/amd64 tools 2/2] RUN make']);
  expect(runs(await planFor(`${tools}ARG TARGETPLATFORM\n${rest}`))).toEqual([
    '[linux/amd64 tools 2/2] RUN make',
    '[linux/amd64->arm64 tools 2/2] RUN make',
  ]);
});
