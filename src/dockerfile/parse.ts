// A Dockerfile's text → typed instructions in stages (BuildKit: instructions/parse.go). Throws TbuildError
// `dockerfile/…` with the place; expands no variable, reads no file.

import type { Location } from '../base/errors.ts';
import { chainedOnbuild, knownKeywords } from './arguments.ts';
import { Checks } from './checks.ts';
import { parseDevice } from './device.ts';
import { parseDuration } from './duration.ts';
import { dockerfileError, locate, type Place } from './errors.ts';
import { type FlagKinds, Flags } from './flags.ts';
import { quote, trimSpace } from './go-text.ts';
import { bodyOf, parseHeredocWord } from './heredoc.ts';
import type {
  ArgInstruction,
  CommandLine,
  Dockerfile,
  HealthcheckInstruction,
  InlineFile,
  Instruction,
  Pair,
  RunInstruction,
  Stage,
} from './instructions.ts';
import { readMountSource } from './mount.ts';
import { Places } from './places.ts';
import { didYouMean, suggestion } from './suggest.ts';
import { type Node, parseSyntax } from './syntax.ts';
import { checkContinuations, checkDescription, checkNode, checkStages } from './syntax-checks.ts';

/** What is found before an error has been reported to `checks`. */
export function parseDockerfile(source: string | Uint8Array, file: string, checks = new Checks()): Dockerfile {
  const { text, directives, nodes } = parseSyntax(source, file);
  checks.configure(directives.check, directives.checkWhere);
  checkContinuations(nodes, checks);
  const globalArgs: ArgInstruction[] = [];
  const stages: (Stage & { readonly instructions: Instruction[] })[] = [];
  for (const node of nodes) {
    checkNode(node, checks);
    if (node.keyword.toLowerCase() === 'from') {
      const stage = locate(node.where, () => parseFrom(node));
      checkDescription(node, stage.name === undefined ? [] : [stage.name], checks);
      stages.push(stage);
      continue;
    }
    const instruction = parseInstruction(node);
    if (instruction.kind === 'arg') {
      const names = instruction.args.map(({ name }) => name);
      checkDescription(node, names, checks);
    }
    const stage = stages.at(-1);
    if (stage !== undefined) stage.instructions.push(instruction);
    else if (instruction.kind === 'arg') globalArgs.push(instruction);
    else throw dockerfileError('no-stage', 'no build stage in current context', node.where, 'a Dockerfile begins with FROM');
  }
  if (stages.length === 0) {
    throw dockerfileError('no-stage', 'dockerfile contains no stages to build', nodes.at(-1)?.where);
  }
  checkStages(stages, checks);
  const { escapeToken, syntax } = directives;
  return { file, text, escapeToken, syntax, globalArgs, stages };
}

/** The instruction that an image's config or an ONBUILD keeps as text; it is said to stand at `where`. */
export function parseTrigger(trigger: string, where: Location): Instruction {
  return locate(where, () => {
    const { nodes } = parseSyntax(trigger, where.file);
    if (nodes.length !== 1) throw dockerfileError('onbuild', 'onbuild trigger should be a single expression');
    const atStage = { where: { value: where }, places: { value: Places.all(where) }, comments: { value: [] } };
    return parseInstruction(Object.create(nodes[0]!, atStage));
  });
}

function parseInstruction(node: Node): Instruction {
  return locate(node.where, () => {
    const keyword = node.keyword.toLowerCase();
    const parser = Object.hasOwn(parsers, keyword) ? parsers[keyword] : undefined;
    if (parser === undefined) throw unknownInstruction(node);
    return parser(node);
  });
}

function unknownInstruction(node: Node): Error {
  const upper = node.keyword.toUpperCase();
  const nearest = didYouMean(node.keyword.toLowerCase(), knownKeywords);
  const isLower = node.keyword === node.keyword.toLowerCase();
  const meant = nearest === undefined ? '' : ` (did you mean ${isLower ? nearest : nearest.toUpperCase()}?)`;
  const message = `unknown instruction: ${isLower ? node.keyword : upper}${meant}`;
  return dockerfileError('unknown-instruction', message, node.places.at(node.keywordSpan));
}

const parsers: Readonly<Record<string, (node: Node) => Instruction>> = {
  add: parseAdd,
  arg: parseArg,
  cmd: (node) => ({ ...base(node), kind: 'cmd', command: parseCommandLine(node) }),
  copy: parseCopy,
  entrypoint: (node) => ({ ...base(node), kind: 'entrypoint', command: parseCommandLine(node) }),
  env: (node) => ({ ...base(node), kind: 'env', pairs: parsePairs(node) }),
  expose: (node) => ({ ...base(node), kind: 'expose', ports: atLeastOne(node).toSorted() }),
  healthcheck: parseHealthcheck,
  label: (node) => ({ ...base(node), kind: 'label', pairs: parsePairs(node) }),
  maintainer: (node) => ({ ...base(node), kind: 'maintainer', author: exactlyOne(node) }),
  onbuild: parseOnbuild,
  run: parseRun,
  shell: parseShell,
  stopsignal: (node) => ({ ...base(node), kind: 'stopsignal', signal: exactlyOne(node) }),
  user: (node) => ({ ...base(node), kind: 'user', user: exactlyOne(node) }),
  volume: parseVolume,
  workdir: (node) => ({ ...base(node), kind: 'workdir', path: exactlyOne(node) }),
};

function parseFrom(node: Node): Stage & { readonly instructions: Instruction[] } {
  const [image, as, name] = node.args;
  const isNamed = node.args.length === 3 && as?.toLowerCase() === 'as';
  if (image === undefined || (!isNamed && node.args.length !== 1)) {
    const isMisspelt = node.args.length === 3 && didYouMean(as!.toLowerCase(), ['as']) !== undefined;
    const place = isMisspelt ? node.places.argument(1) : node.places.arguments();
    throw wrong('FROM requires either one or three arguments', place, 'FROM image, or FROM image AS name');
  }
  if (isNamed && !/^[a-z][a-z0-9-_.]*$/.test(name!.toLowerCase())) {
    throw dockerfileError(
      'stage-name',
      `invalid name for build stage: ${quote(name!)}, name can't start with a number or contain symbols`,
      node.places.argument(2),
    );
  }
  return {
    name: isNamed ? name!.toLowerCase() : undefined,
    base: image,
    platform: new Flags(node, { platform: 'text' }).text('platform'),
    instructions: [],
    ...written(node),
  };
}

const copyFlags: FlagKinds = { exclude: 'list', chown: 'text', chmod: 'text', link: 'boolean' };

function parseAdd(node: Node): Instruction {
  const files = parseFiles(node);
  const flags = new Flags(node, { ...copyFlags, 'keep-git-dir': 'boolean', checksum: 'text', unpack: 'boolean' });
  return {
    ...written(node),
    ...files,
    ...copyOptions(flags),
    kind: 'add',
    keepGitDir: flags.boolean('keep-git-dir'),
    checksum: flags.text('checksum'),
    unpack: flags.boolean('unpack'),
  };
}

function parseCopy(node: Node): Instruction {
  const files = parseFiles(node);
  const flags = new Flags(node, { ...copyFlags, parents: 'boolean', from: 'text' });
  return {
    ...written(node),
    ...files,
    ...copyOptions(flags),
    kind: 'copy',
    from: flags.text('from'),
    parents: flags.boolean('parents') ?? false,
  };
}

function copyOptions(flags: Flags) {
  return {
    owner: flags.text('chown'),
    mode: flags.text('chmod'),
    link: flags.boolean('link') ?? false,
    exclude: flags.list('exclude'),
  };
}

function parseFiles(node: Node): { sources: string[]; inline: InlineFile[]; destination: string } {
  const destination = node.args.at(-1);
  if (destination === undefined || node.args.length < 2) {
    throw wrong(
      `${node.keyword.toUpperCase()} requires at least two arguments, but only ${node.args.length === 1 ? 'one' : 'none'} was provided. destination could not be determined`,
      node.places.arguments(),
    );
  }
  // Arguments in JSON form announce no heredoc, whatever they look like.
  const announced = (word: string) => (node.json ? undefined : parseHeredocWord(word));
  if (announced(destination) !== undefined) {
    const last = node.places.argument(node.args.length - 1);
    throw dockerfileError('heredoc', `${node.keyword.toUpperCase()} cannot accept a heredoc as a destination`, last);
  }
  const sources: string[] = [];
  const inline: InlineFile[] = [];
  for (const source of node.args.slice(0, -1)) {
    const word = announced(source);
    if (word === undefined) {
      sources.push(source);
      continue;
    }
    // Of two heredocs of one name, the last one's body is everyone's (BuildKit: parseSourcesAndDest).
    const content = node.heredocs.findLast(({ name }) => name === word.name)?.content ?? '';
    inline.push({ name: word.name, content: bodyOf(content, word), expand: word.expand });
  }
  return { sources, inline, destination };
}

function parseArg(node: Node): ArgInstruction {
  const args = atLeastOne(node).map((arg, i) => {
    const equals = arg.indexOf('=');
    if (equals === 0) throw wrong('ARG names can not be blank', node.places.argument(i));
    return equals < 0 ? { name: arg, value: undefined } : { name: arg.slice(0, equals), value: arg.slice(equals + 1) };
  });
  return { ...base(node), kind: 'arg', args };
}

function parsePairs(node: Node): Pair[] {
  atLeastOne(node);
  const pairs: Pair[] = [];
  for (let i = 0; i < node.args.length; i += 3) {
    const [name, value, equals] = node.args.slice(i, i + 3) as [string, string, string];
    if (name === '') throw wrong(`${node.keyword.toUpperCase()} names can not be blank`, node.places.argument(i + 2));
    pairs.push({ name, value, ...(equals === '' && { isLegacy: true }) });
  }
  return pairs;
}

function parseHealthcheck(node: Node): HealthcheckInstruction {
  const [type, ...command] = atLeastOne(node);
  const none = { intervalNs: 0, timeoutNs: 0, startPeriodNs: 0, startIntervalNs: 0, retries: 0 };
  if (type!.toUpperCase() === 'NONE') {
    if (command.length > 0) throw wrong('HEALTHCHECK NONE takes no arguments', node.places.arguments());
    // Flags before NONE are not looked at.
    return { ...written(node), kind: 'healthcheck', test: ['NONE'], ...none };
  }
  const flags = new Flags(node, {
    interval: 'text',
    timeout: 'text',
    'start-period': 'text',
    'start-interval': 'text',
    retries: 'text',
  });
  if (type!.toUpperCase() !== 'CMD') {
    throw wrong(`unknown type ${quote(type!.toUpperCase())} in HEALTHCHECK (try CMD)`, node.places.argument(0));
  }
  if (command.length === 0) throw wrong('missing command after HEALTHCHECK CMD', node.places.argument(0));
  return {
    ...written(node),
    kind: 'healthcheck',
    test: [node.json ? 'CMD' : 'CMD-SHELL', ...command],
    intervalNs: parseInterval(node, flags, 'interval'),
    timeoutNs: parseInterval(node, flags, 'timeout'),
    startPeriodNs: parseInterval(node, flags, 'start-period'),
    startIntervalNs: parseInterval(node, flags, 'start-interval'),
    retries: locate(node.places.flagValue('retries'), () => parseRetries(flags.text('retries'))),
  };
}

function parseInterval(node: Node, flags: Flags, name: string): number {
  const text = flags.text(name);
  if (text === undefined) return 0;
  return locate(node.places.flagValue(name), () => {
    const nanoseconds = parseDuration(text);
    if (nanoseconds === 0 || nanoseconds >= 1e6) return nanoseconds;
    throw dockerfileError('duration', `interval "${name}" cannot be less than 1ms`);
  });
}

function parseRetries(text: string | undefined): number {
  if (text === undefined) return 0;
  const retries = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(Math.abs(retries) < 2 ** 31)) throw wrong(`invalid value for --retries: ${text}`);
  if (retries < 0) throw wrong(`--retries cannot be negative (${retries})`);
  return retries;
}

function parseOnbuild(node: Node): Instruction {
  const [trigger] = atLeastOne(node);
  const keyword = trimSpace(trigger!).toUpperCase();
  const common = base(node);
  if (keyword === 'ONBUILD') {
    throw dockerfileError('onbuild', chainedOnbuild, node.places.argument(0));
  }
  if (keyword === 'MAINTAINER' || keyword === 'FROM') {
    throw dockerfileError('onbuild', `${keyword} isn't allowed as an ONBUILD trigger`, node.places.argument(0));
  }
  const bodies = node.heredocs.map(({ content, name }) => `\n${content}${name}`);
  return { ...common, kind: 'onbuild', trigger: node.original.replace(/^\s*ONBUILD\s*/i, '') + bodies.join('') };
}

const networks = ['default', 'none', 'host'] as const;
const securities = ['sandbox', 'insecure'] as const;

function parseRun(node: Node): RunInstruction {
  const flags = new Flags(node, { mount: 'list', network: 'text', security: 'text', device: 'list' });
  const mounts = flags.list('mount');
  // Wrong ones are refused now, whatever the stage is for.
  for (const [i, mount] of mounts.entries()) locate(node.places.flagValue('mount', i), () => readMountSource(mount));
  return {
    ...written(node),
    kind: 'run',
    command: parseCommandLine(node),
    mounts,
    network: locate(node.places.flagValue('network'), () => oneOf(networks, flags.text('network'), 'network mode')),
    security: locate(node.places.flagValue('security'), () => oneOf(securities, flags.text('security'), 'security mode')),
    devices: flags.list('device').map((device, i) => locate(node.places.flagValue('device', i), () => parseDevice(device))),
  };
}

/** The first is the default. */
function oneOf<T extends string>(known: readonly [T, ...T[]], value: string | undefined, what: string): T {
  if (value === undefined) return known[0];
  const found = known.find((word) => word === value);
  if (found === undefined) throw dockerfileError('flag', `unsupported ${what} ${quote(value)}${suggestion(value, known)}`);
  return found;
}

function parseShell(node: Node): Instruction {
  const common = base(node);
  const shell = atLeastOne(node);
  if (!node.json) {
    const message = `SHELL requires the arguments to be in JSON form: ${node.original}`;
    throw dockerfileError('json', message, node.places.arguments(), 'as in SHELL ["/bin/bash", "-c"]');
  }
  return { ...common, kind: 'shell', shell };
}

function parseVolume(node: Node): Instruction {
  const volumes = atLeastOne(node).map(trimSpace);
  const empty = volumes.indexOf('');
  if (empty >= 0) throw wrong('VOLUME specified can not be an empty string', node.places.argument(empty));
  return { ...base(node), kind: 'volume', volumes };
}

function parseCommandLine(node: Node): CommandLine {
  if (node.json) return { form: 'exec', args: node.args };
  const heredocs = node.heredocs.map((heredoc) => ({
    name: heredoc.name,
    content: heredoc.content,
    body: bodyOf(heredoc.content, heredoc),
  }));
  return { form: 'shell', text: node.args.join(' '), heredocs };
}

function atLeastOne(node: Node): readonly string[] {
  if (node.args.length === 0) throw wrong(`${node.keyword.toUpperCase()} requires at least one argument`);
  return node.args;
}

function exactlyOne(node: Node): string {
  if (node.args.length !== 1) throw wrong(`${node.keyword.toUpperCase()} requires exactly one argument`);
  return node.args[0]!;
}

const written = ({ original, where, places, comments }: Node) => ({ original: trimSpace(original), where, places, comments });

/** For instructions that take no flags. */
function base(node: Node) {
  new Flags(node, {});
  return written(node);
}

const wrong = (message: string, place?: Place, hint?: string) => dockerfileError('arguments', message, place, hint);
