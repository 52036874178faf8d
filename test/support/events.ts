// A build's events, as `--progress=rawjson` prints them: which steps ran, which were cached.

import type { BuildEvent } from '../../src/build/events.ts';
import { type Options, tbuild } from './tbuild.ts';

export interface Built {
  readonly code: number | null;
  readonly events: readonly BuildEvent[];
  /** Digest of the image's config. */
  readonly image: string | undefined;
  /** Names of the steps that were executed, without sources and the `[stage n/m]` before them. */
  readonly ran: readonly string[];
  readonly cached: readonly string[];
  /** Layer by step name. */
  readonly layers: Readonly<Record<string, string | undefined>>;
  readonly stderr: string;
}

export async function build(args: readonly string[], options: Options = {}): Promise<Built> {
  const { code, stderr } = await tbuild(['build', '--progress=rawjson', ...args], options);
  const events = stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as BuildEvent);
  const plan = events.find((event) => event.type === 'plan');
  const nameOf = (step: number) => (plan?.steps[step - 1]?.name ?? '').replace(/^\[[^\]]*\] /, '');
  const isSource = (name: string) => /^(?:FROM |load |[a-z]+:\/\/|[a-z]+@)/.test(name);
  const done = events.filter((event) => event.type === 'done').filter(({ step }) => !isSource(nameOf(step)));
  return {
    code,
    events,
    image: events.find((event) => event.type === 'result')?.image,
    ran: done.filter(({ cached }) => !cached).map(({ step }) => nameOf(step)),
    cached: done.filter(({ cached }) => cached).map(({ step }) => nameOf(step)),
    layers: Object.fromEntries(done.map(({ step, layer }) => [nameOf(step), layer])),
    stderr,
  };
}
