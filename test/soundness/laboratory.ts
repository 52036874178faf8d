// A place to run observed commands on layers of one's own, by the code that RUN steps are run by: what was seen, what was made, and where it holds.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { TbuildError } from '../../src/base/errors.ts';
import type { Trace } from '../../src/cache/traces.ts';
import type { LayerEntry } from '../../src/native/serve.ts';
import type { RunMount, RunOperation } from '../../src/plan/graph.ts';
import { NO_DEVICES } from '../../src/sandbox/container-config.ts';
import type { OtherRuntime } from '../../src/sandbox/runtime.ts';
import { firstDifference } from '../../src/snapshots/compare.ts';
import { LayerIndex } from '../../src/snapshots/layer-index.ts';
import { openWorkplace, type Workplace } from '../../src/snapshots/workplace.ts';
import { prepareRun } from '../../src/steps/run.ts';
import type { RunSettings } from '../../src/steps/run-root.ts';
import type { Prepared, Report, Result, State, StateLayer, Workshop } from '../../src/steps/step.ts';

/** Layers bottom first, on one that has the wanderer; `mount`: what is bound to /m. */
export interface Tree {
  readonly layers: readonly { readonly entries: readonly LayerEntry[]; readonly traced: boolean }[];
  readonly mount?: readonly LayerEntry[] | undefined;
}

export interface Command {
  readonly args: readonly string[];
  readonly workdir?: string;
  readonly userns?: RunSettings['userns'];
  /** Of the bind mount. */
  readonly writable?: boolean;
}

/** A command that was run. */
export interface Ran {
  readonly trace: Trace;
  /** Of what was asked. */
  readonly paths: readonly string[];
  /** Where what it made differs from what another made; undefined: nowhere. */
  differenceTo(other: Ran | string): string | undefined;
}

export interface Laboratory {
  /** Its error where it could not begin. */
  run(tree: Tree, command: Command): Promise<Ran | string>;
  /** Whether what was seen is so in this tree. */
  holds(tree: Tree, command: Command): Promise<(trace: Trace) => boolean>;
  /** Takes away all layers that were made so far. */
  clear(): void;
  close(): Promise<void>;
}

/** `root`: a store of its own. Wants cc, and root. `runtime`: another one than the bundled. */
export async function openLaboratory(root: string, runtime?: OtherRuntime): Promise<Laboratory> {
  const tools = mkdtempSync(path.join(tmpdir(), 'tbuild-soundness-'));
  const program = path.join(tools, 'wanderer');
  execFileSync('cc', ['-O1', '-static', '-pthread', '-o', program, path.join(import.meta.dirname, 'wanderer.c')]);
  const place = await openWorkplace(root);
  const base = await writeBase(place, tools);
  const made: StateLayer[] = [];
  const write = async (entries: readonly LayerEntry[], traced: boolean): Promise<StateLayer> => {
    const layer = { ...(await writeLayer(place, entries)), ...(traced && { traced: true as const }) };
    made.push(layer);
    return layer;
  };
  const prepare = async ({ layers, mount }: Tree, command: Command): Promise<Prepared> => {
    const below = await Promise.all(layers.map(({ entries, traced }) => write(entries, traced)));
    return prepareCommand(place, [base, ...below], mount && [await write(mount, false)], command, runtime);
  };
  return {
    run: async (tree, command) => attempt(place, await prepare(tree, command)),
    holds: async (tree, command) => (await prepare(tree, command)).matches,
    clear: () => {
      place.layers.condemn(made.splice(0).map(({ id }) => id));
      place.store.db.immediate(() => place.layers.collect());
    },
    close: async () => {
      await place.close();
      rmSync(tools, { recursive: true });
    },
  };
}

async function writeBase(place: Workplace, tools: string): Promise<StateLayer> {
  const common = { uid: 0, gid: 0, mtime: [1, 0] as const };
  const directory = (name: string, mode = 0o755) => ({ ...common, path: name, type: 'dir' as const, mode });
  const program = { ...common, path: 'bin/wanderer', type: 'file' as const, mode: 0o755, source: 0, at: 'wanderer' };
  const entries = [directory('bin'), directory('out', 0o777), directory('tmp', 0o1777), directory('t'), program];
  return writeLayer(place, entries, tools);
}

async function writeLayer(place: Workplace, entries: readonly LayerEntry[], from?: string): Promise<StateLayer> {
  const { driver } = place.driver;
  const sources = from === undefined ? [] : [{ root: from }];
  return place.layers.commit(await place.serve.call('writeLayer', { driver, out: place.newPath(), sources, entries }), driver);
}

const report: Report = { output: () => {}, status: (text) => console.log(text), signal: new AbortController().signal };

async function attempt(place: Workplace, prepared: Prepared): Promise<Ran | string> {
  try {
    const { summary, gaps, exact = prepared.exact } = await prepared.execute(report);
    const index = LayerIndex.read(summary.index);
    place.layers.discard(summary);
    return new Made({ version: 2, exact, gaps }, index);
  } catch (error) {
    if (error instanceof TbuildError && /^(native|run)\//.test(error.code)) return error.message;
    throw error;
  }
}

class Made implements Ran {
  readonly trace: Trace;
  readonly paths: readonly string[];
  readonly #index: LayerIndex;

  constructor(trace: Trace, index: LayerIndex) {
    this.trace = trace;
    this.#index = index;
    this.paths = trace.gaps.flatMap((gap) => (gap ?? []).map(([, asked]) => asked.split('\0')[0] as string));
  }

  differenceTo(other: Made | string): string | undefined {
    if (typeof other === 'string') return other;
    if (this.#index.tree === other.#index.tree) return undefined;
    return firstDifference(this.#index, other.#index) ?? 'its tree digest alone';
  }
}

function prepareCommand(
  place: Workplace,
  below: State,
  mount: State | undefined,
  command: Command,
  runtime: OtherRuntime | undefined,
): Promise<Prepared> {
  const { store, serve, layers, driver, newPath } = place;
  const { args, workdir = '/', writable = false } = command;
  // An account's containers have its own.
  const userns = place.ids ? 'host' : (command.userns ?? 'private');
  const times = { made: undefined, fixed: undefined };
  const workshop: Workshop = { db: store.db, serve, layers, driver: driver.driver, newPath, storePath: store.path, times };
  const bind: RunMount = { type: 'bind', target: '/m', from: 0, source: '/m', writable };
  const operation: RunOperation = {
    kind: 'run',
    args: ['/bin/wanderer', ...args],
    env: [],
    proxyEnv: [],
    user: '',
    workdir,
    mounts: mount ? [bind] : [],
    network: 'default',
    security: 'sandbox',
    devices: [],
    hostname: undefined,
    pipes: [],
    platform: { os: 'linux', architecture: 'amd64' },
  };
  const inputs: Result[] = mount ? [{ kind: 'state', state: mount }] : [];
  return prepareRun(workshop, settingsOf(userns, runtime), operation, below, inputs);
}

const settingsOf = (userns: RunSettings['userns'], runtime: OtherRuntime | undefined): RunSettings => ({
  network: 'host',
  isRoot: true,
  onHostNetwork: () => undefined,
  secret: () => undefined,
  userns,
  account: () => undefined,
  ssh: () => undefined,
  devices: () => NO_DEVICES,
  extraHosts: [],
  shmBytes: undefined,
  rlimits: [],
  cgroup: undefined,
  runtime,
  trace: true,
  upperBytes: 64 << 20,
  layerOf: () => Promise.reject(new Error('there is no context')),
});
