// Instructions that make no layer: they change the config, and say so in the history.

import { dockerfileError, locate, within } from '../dockerfile/errors.ts';
import { quoteList } from '../dockerfile/go-text.ts';
import type {
  ArgInstruction,
  CommandLine,
  EnvInstruction,
  HealthcheckInstruction,
  Instruction,
  LabelInstruction,
  Pair,
} from '../dockerfile/instructions.ts';
import { processWords } from '../dockerfile/words.ts';
import type { Healthcheck } from '../oci/config.ts';
import { healthcheckCreatedBy } from './created-by.ts';
import { argValue, type BuildArgs, builderArgs, givenArg } from './global-scope.ts';
import { parsePorts } from './ports.ts';
import { checkSignal } from './signals.ts';
import type { StageState } from './stage-state.ts';

export type MetadataInstruction = Exclude<Instruction, { readonly kind: 'add' | 'copy' | 'run' | 'workdir' }>;

/** What ARG without a default may take its value from. */
export interface ArgSources {
  readonly buildArgs: BuildArgs;
  readonly globalScope: ReadonlyMap<string, string>;
}

export function applyMetadata(stage: StageState, instruction: MetadataInstruction, sources: ArgSources): void {
  const createdBy = change(stage, instruction, sources);
  if (createdBy !== undefined) stage.addHistory(createdBy);
}

/** What the history says of it; undefined: nothing. */
function change(stage: StageState, instruction: MetadataInstruction, sources: ArgSources): string | undefined {
  const { config } = stage;
  switch (instruction.kind) {
    case 'arg':
      return applyArg(stage, instruction, sources);
    case 'cmd':
      stage.checks.usedOnce(instruction);
      stage.checks.commandForm(instruction, stage.hasOwnShell);
      config.Cmd = commandOf(instruction.command, stage.shell);
      config.ArgsEscaped = true;
      stage.hasOwnCmd = true;
      return `CMD ${quoteList(config.Cmd)}`;
    case 'entrypoint': {
      stage.checks.usedOnce(instruction);
      stage.checks.commandForm(instruction, stage.hasOwnShell);
      const command = commandOf(instruction.command, stage.shell);
      config.Entrypoint = command.length === 0 ? null : command;
      // What the base would have run are not arguments for this.
      if (!stage.hasOwnCmd) config.Cmd = null;
      return `ENTRYPOINT ${quoteList(command)}`;
    }
    case 'env':
      stage.checks.legacyPairs(instruction);
      return applyEnv(stage, expandPairs(stage, instruction));
    case 'expose': {
      const ports = instruction.ports.flatMap((port) =>
        locate(instruction.places.argumentReading(port), () => {
          const words = processWords(port, stage.environment, stage.escapeToken);
          for (const word of words) stage.checks.port(word);
          const read = parsePorts(words);
          stage.size.addEntries(read.length);
          return read;
        }),
      );
      config.ExposedPorts = withKeys(stage, config.ExposedPorts, ports);
      return `EXPOSE [${ports.join(' ')}]`;
    }
    case 'healthcheck':
      stage.checks.usedOnce(instruction);
      config.Healthcheck = healthcheckOf(instruction);
      return healthcheckCreatedBy(instruction);
    case 'label': {
      stage.checks.legacyPairs(instruction);
      const pairs = expandPairs(stage, instruction);
      const labels = Object.entries(config.Labels ?? {});
      stage.size.addEntries(labels.length);
      config.Labels = Object.fromEntries([...labels, ...pairs.map(({ name, value }): [string, string] => [name, value])]);
      return `LABEL ${joinPairs(pairs)}`;
    }
    case 'maintainer':
      stage.author = instruction.author;
      return `MAINTAINER ${instruction.author}`;
    case 'onbuild':
      stage.size.addEntries(config.OnBuild?.length ?? 0);
      config.OnBuild = [...(config.OnBuild ?? []), instruction.trigger];
      return undefined;
    case 'shell':
      config.Shell = instruction.shell;
      return `SHELL [${instruction.shell.join(' ')}]`;
    case 'stopsignal': {
      const place = instruction.places.argument(0);
      const signal = stage.expand(instruction.signal, place);
      locate(place, () => checkSignal(signal));
      config.StopSignal = signal;
      return `STOPSIGNAL ${signal}`;
    }
    case 'user':
      config.User = stage.expand(instruction.user, instruction.places.argument(0));
      return `USER ${config.User}`;
    case 'volume': {
      const volumes = instruction.volumes.map((volume, i) => stage.expand(volume, instruction.places.argument(i)));
      if (volumes.includes('')) throw dockerfileError('arguments', 'VOLUME specified can not be an empty string');
      config.Volumes = withKeys(stage, config.Volumes, volumes);
      return `VOLUME [${volumes.join(' ')}]`;
    }
  }
}

/** The shell goes before text; arguments stand for themselves. */
export function commandOf(command: CommandLine, shell: readonly string[]): readonly string[] {
  return command.form === 'exec' ? command.args : [...shell, command.text];
}

function expandPairs(stage: StageState, { pairs, places }: EnvInstruction | LabelInstruction): Pair[] {
  return pairs.map(({ name, value }, i) => ({
    name: stage.expand(name, places.argument(3 * i)),
    value: stage.expand(value, places.argument(3 * i + 1)),
  }));
}

function applyEnv(stage: StageState, pairs: readonly Pair[]): string {
  for (const { name, value } of pairs) {
    stage.checks.secretName('ENV', name);
    stage.environment.set(name, value);
    stage.setEnv(name, value);
  }
  return `ENV ${joinPairs(pairs)}`;
}

const joinPairs = (pairs: readonly Pair[]): string => pairs.map(({ name, value }) => `${name}=${value}`).join(' ');

/** What was given wins over the default, the default over the global scope; with none of them the name stays unset. */
function applyArg(stage: StageState, { args, places }: ArgInstruction, { buildArgs, globalScope }: ArgSources): string {
  const declared = args.map(({ name, value: initial }, i) => {
    stage.checks.secretName('ARG', name);
    const given = givenArg(buildArgs, name);
    const fallback = initial === undefined ? globalScope.get(name) : undefined;
    const expanded = () => locate(places.argument(i), () => within(argValue(name), () => stage.expand(initial ?? '')));
    const value = given ?? fallback ?? (initial === undefined ? undefined : expanded());
    if (value !== undefined && !builderArgs.has(name)) stage.environment.set(name, value);
    stage.args.push({ name, value });
    stage.checks.declared.add(name);
    return value === undefined ? name : `${name}=${value}`;
  });
  return `ARG ${declared.join(' ')}`;
}

function healthcheckOf(check: HealthcheckInstruction): Healthcheck {
  return {
    Test: check.test,
    ...(check.intervalNs === 0 ? {} : { Interval: check.intervalNs }),
    ...(check.timeoutNs === 0 ? {} : { Timeout: check.timeoutNs }),
    ...(check.startPeriodNs === 0 ? {} : { StartPeriod: check.startPeriodNs }),
    ...(check.startIntervalNs === 0 ? {} : { StartInterval: check.startIntervalNs }),
    ...(check.retries === 0 ? {} : { Retries: check.retries }),
  };
}

function withKeys(
  { size }: StageState,
  known: Readonly<Record<string, Record<string, never>>> | undefined,
  keys: readonly string[],
): Record<string, Record<string, never>> {
  const entries = Object.entries(known ?? {});
  size.addEntries(entries.length + keys.length);
  return Object.fromEntries([...entries, ...keys.map((key): [string, Record<string, never>] => [key, {}])]);
}
