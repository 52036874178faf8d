// The configs and histories of the images that BuildKit makes of 90 Dockerfiles, against what is planned of them.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { TbuildError } from '../../src/base/errors.ts';
import { parseDockerfile } from '../../src/dockerfile/parse.ts';
import type { ImageConfig } from '../../src/oci/config.ts';
import type { BaseImages, Target } from '../../src/plan/graph.ts';
import { planBuild } from '../../src/plan/plan.ts';
import { describeReference, referenceUrl, report } from './reference.ts';

interface Case {
  readonly Idx: number;
  readonly Name: string;
  readonly Dockerfile: string;
  readonly BuildArgs?: Readonly<Record<string, string>>;
}

interface Answer {
  readonly ok: boolean;
  readonly img: {
    readonly config: Readonly<Record<string, unknown>>;
    readonly meta: { readonly history: number; readonly history_nonempty: number };
  } | null;
}

const linux = { os: 'linux', architecture: 'amd64' };

/** The bases as make_bases.py makes them. */
const bases: BaseImages = {
  config: async (reference): Promise<ImageConfig> => ({
    ...linux,
    config: {
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      Cmd: [reference.includes('busybox') ? 'sh' : reference.includes('alpine') ? '/bin/sh' : 'bash'],
    },
    rootfs: { type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`] },
    history: [{ created: '2023-11-14T22:13:20Z', created_by: 'local base' }],
  }),
};

async function plan({ Dockerfile, BuildArgs = {} }: Case): Promise<Target> {
  const options = { buildArgs: BuildArgs, buildPlatform: linux, labels: {}, contexts: {} };
  return (await planBuild(parseDockerfile(Dockerfile, 'Dockerfile'), options, bases)).target;
}

function configOf({ config, author, platform }: Target): Record<string, unknown> {
  const keys = (set: object | undefined) => Object.keys(set ?? {}).sort();
  return {
    Cmd: config.Cmd ?? null,
    Entrypoint: config.Entrypoint ?? null,
    Env: [...(config.Env ?? [])].sort(),
    ExposedPorts: keys(config.ExposedPorts),
    Healthcheck: config.Healthcheck ?? null,
    Labels: config.Labels ?? {},
    OnBuild: config.OnBuild ?? null,
    Shell: config.Shell ?? null,
    StopSignal: config.StopSignal ?? null,
    User: config.User ?? '',
    Volumes: keys(config.Volumes),
    WorkingDir: config.WorkingDir ?? '',
    architecture: platform.architecture,
    author: author ?? null,
    os: platform.os,
  };
}

/** Fail only when they run: a missing source, a directory in the way of a link. */
const failLater = ['050', '142', '152', '160', '162'];

describeReference('builds/cases.json', 'builds/cases.json', (text) => {
  const cases = JSON.parse(text) as readonly Case[];
  const answers = JSON.parse(readFileSync(referenceUrl('builds/expected.json'), 'utf8')) as Record<string, Answer>;

  test('every config and history', async () => {
    const failed: unknown[] = [];
    for (const one of cases) {
      const key = `${String(one.Idx).padStart(3, '0')} ${one.Name}`;
      const { ok, img } = answers[key]!;
      try {
        const target = await plan(one);
        const empty = target.history.filter(({ entry }) => entry.empty_layer === true).length;
        const actual = { ...configOf(target), history: target.history.length, layers: target.history.length - empty };
        const wanted = { ...img?.config, history: img?.meta.history, layers: img?.meta.history_nonempty };
        const same = Object.keys(actual).every((name) => {
          const member = name as keyof typeof actual;
          const [a, b] = [actual[member], (wanted as Record<string, unknown>)[name]];
          return JSON.stringify(a) === JSON.stringify(name === 'Env' ? [...(b as string[])].sort() : b);
        });
        if (!(ok ? same : failLater.includes(key.slice(0, 3)))) failed.push({ key, actual, wanted });
      } catch (error) {
        if (!(error instanceof TbuildError) || ok) failed.push({ key, error: String(error) });
      }
    }
    expect(report(failed)).toBe('');
    expect(cases.length - failed.length).toBe(90);
  });
});
