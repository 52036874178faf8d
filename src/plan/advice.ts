// tbuild's own checks, which speak where `experimental=` asks for them: what makes images large, builds slow, or secrets public.
// They look at a finished plan; loaded only where one of them was asked for.

import path from 'node:path';
import { hasWildcards, matchesGlob, parseGlob } from '../context/glob.ts';
import { compileExcludes, excludesPath } from '../context/ignore.ts';
import type { Checks, Subject } from '../dockerfile/checks.ts';
import { parseHeredocWord } from '../dockerfile/heredoc.ts';
import type { AddInstruction, CopyInstruction, Instruction, RunInstruction } from '../dockerfile/instructions.ts';
import { ownRules } from '../dockerfile/rules.ts';
import type { CopyOperation, Step } from './graph.ts';
import type { StageState } from './stage-state.ts';
import type { StageNode } from './stages.ts';

export interface Advised {
  /** Those that are planned. */
  readonly nodes: readonly StageNode[];
  readonly target: StageNode;
  readonly stateOf: (node: StageNode) => StageState;
  readonly steps: readonly Step[];
  /** Of the build context, after its ignore rules; undefined: not known. */
  readonly contextFiles: (() => readonly string[]) | undefined;
}

export function advise(plan: Advised, checks: Checks): void {
  const shipped = stagesOfImage(plan.target);
  for (const node of plan.nodes) {
    const instructions = node.instructions.map(({ instruction }) => instruction);
    checkInstallOrder(instructions, checks);
    checkHeredocs(instructions, checks);
    for (const instruction of instructions) if (instruction.kind === 'add') checkAdd(instruction, checks);
    if (shipped.has(node)) for (const one of instructions) if (one.kind === 'run') checkApt(one, checks);
  }
  checkUser(plan, checks);
  checkSecretFiles(plan, checks);
}

/** Those whose layers are the image's. */
function stagesOfImage(target: StageNode): Set<StageNode> {
  const stages = new Set([target]);
  for (const { base } of stages) if (base.kind === 'stage') stages.add(base.stage);
  return stages;
}

/** Commands that install what a few files list, and these files. */
const installers: readonly (readonly [command: RegExp, files: string])[] = [
  [/\bnpm (?:ci|install|i)\b(?! +(?:-g|--global)\b)/, 'package.json and package-lock.json'],
  [/\byarn(?: install\b|(?= *(?:$|&&|;|\||--)))/m, 'package.json and yarn.lock'],
  [/\bpnpm (?:install|i)\b/, 'package.json and pnpm-lock.yaml'],
  [/\bbun install\b/, 'package.json and bun.lock'],
  [/\bpip[\d.]* install\b.*(?: -r|--requirement)/, 'the requirements files'],
  [/\bpoetry install\b/, 'pyproject.toml and poetry.lock'],
  [/\buv sync\b/, 'pyproject.toml and uv.lock'],
  [/\bgo mod download\b/, 'go.mod and go.sum'],
  [/\bcargo (?:build|fetch|install)\b/, 'Cargo.toml and Cargo.lock'],
  [/\bbundle install\b/, 'Gemfile and Gemfile.lock'],
  [/\bcomposer install\b/, 'composer.json and composer.lock'],
  [/\bdotnet restore\b/, 'the project files'],
  [/\bmvn\b.*\b(?:dependency:\S+|package|install|verify)\b/, 'pom.xml'],
  [/\bmix deps\.get\b/, 'mix.exs and mix.lock'],
];

/** A RUN with a cache mount installs again, but from the cache. */
function checkInstallOrder(instructions: readonly Instruction[], checks: Checks): void {
  let copied: CopyInstruction | AddInstruction | undefined;
  const installed = new Set<RegExp>();
  for (const instruction of instructions) {
    if (copiesEverything(instruction)) copied ??= instruction;
    if (instruction.kind !== 'run') continue;
    const text = textOf(instruction);
    for (const [command, files] of installers) {
      const found = command.exec(text)?.[0];
      if (found === undefined || installed.has(command)) continue;
      installed.add(command);
      if (copied === undefined || hasMount(instruction, 'cache')) continue;
      checks.report(ownRules.copyBeforeInstall, copied, found.trim(), files);
    }
  }
}

function copiesEverything(instruction: Instruction): instruction is CopyInstruction | AddInstruction {
  if (instruction.kind !== 'add' && (instruction.kind !== 'copy' || instruction.from !== undefined)) return false;
  return instruction.sources.some((source) => ['.', './', '/', '*', './*'].includes(source));
}

/** What the shell reads, heredocs included. */
function textOf({ command }: RunInstruction): string {
  if (command.form === 'exec') return command.args.join(' ');
  return [command.text, ...command.heredocs.map(({ body }) => body)].join('\n');
}

const hasMount = ({ mounts }: RunInstruction, type: string): boolean =>
  mounts.some((mount) => mount.split(',').includes(`type=${type}`));

function checkApt(instruction: RunInstruction, checks: Checks): void {
  const text = textOf(instruction);
  const update = /\bapt(?:-get)?\b(?: +-\S+)* +update\b/.exec(text)?.[0];
  if (update === undefined || /\brm\b[^\n;&|]*\/var\/lib\/apt\/lists/.test(text)) return;
  const isMounted = instruction.mounts.some((mount) => /type=(?:cache|tmpfs)\b/.test(mount) && mount.includes('/var/lib/apt'));
  if (!isMounted) checks.report(ownRules.aptListsKept, instruction, update);
}

/** What ADD can do and COPY cannot: fetch, and unpack. */
function checkAdd(instruction: AddInstruction, checks: Checks): void {
  const { sources, checksum, unpack, keepGitDir, inline } = instruction;
  if (checksum !== undefined || unpack !== undefined || keepGitDir !== undefined) return;
  if (sources.some((source) => isRemote(source) || mayBeArchive(source))) return;
  const [first = `<<${inline[0]?.name}`] = sources;
  checks.report(ownRules.addInsteadOfCopy, instruction, first);
}

const isRemote = (source: string): boolean => /^[a-z]+:\/\/|^[\w.-]+@[\w.-]+:|\$/i.test(source);
const mayBeArchive = (source: string): boolean =>
  /\.(?:tar|t[gbx]z|tbz2|txz|tzst|gz|bz2|xz|zst)$/i.test(source) || hasWildcards(source);

function checkHeredocs(instructions: readonly Instruction[], checks: Checks): void {
  let stopsItself = false;
  for (const instruction of instructions) {
    if (instruction.kind === 'shell') stopsItself = instruction.shell.some((word) => /^-[a-z]*e/.test(word));
    if (instruction.kind === 'run' && !stopsItself && ignoresErrors(instruction)) {
      checks.report(ownRules.heredocIgnoresErrors, instruction);
    }
  }
}

/** A script of several commands, of which only the last one's failure is noticed. */
function ignoresErrors({ command }: RunInstruction): boolean {
  if (command.form === 'exec' || parseHeredocWord(command.text) === undefined) return false;
  const lines = (command.heredocs[0]?.body ?? '').split('\n').map((line) => line.trim());
  const interpreter = /^#!\s*(?<words>.*)/.exec(lines[0] ?? '')?.groups?.words;
  if (interpreter !== undefined && (!/\b(?:ba|da|a|z|k)?sh\b/.test(interpreter) || / -[a-z]*e/.test(interpreter))) return false;
  const commands = lines.filter((line) => line !== '' && !line.startsWith('#'));
  if (/^set +(?:-[a-z]*e|-o +errexit)/.test(commands[0] ?? '')) return false;
  const ends = commands.slice(0, -1).filter((line) => !/(?:&&|\|\||\||\\)$/.test(line));
  return ends.length > 0;
}

function checkUser({ target, stateOf }: Advised, checks: Checks): void {
  const { user, checks: stage } = stateOf(target);
  if (user === '' && stage.isBaseKnown) checks.report(ownRules.missingUser, target);
}

const secretNames = [
  /^\.env(?:\..+)?$/,
  /^id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?$/,
  /\.(?:pem|key|p12|pfx|jks|keystore|kdbx)$/,
  /^(?:\.npmrc|\.pypirc|\.netrc|\.git-credentials|\.dockercfg|\.htpasswd|\.vault-token|kubeconfig)$/,
];
const exampleName = /\.(?:example|sample|template|dist|pub)$/;
const secretPaths = /(?:^|\/)(?:\.aws\/credentials|\.docker\/config\.json|\.kube\/config)$/;

/** Files are looked for by their names: what is in them is nobody's business here. */
function checkSecretFiles({ nodes, steps, contextFiles }: Advised, checks: Checks): void {
  const subjects = new Map<unknown, Subject>();
  for (const { instructions } of nodes) for (const { instruction } of instructions) subjects.set(instruction.where, instruction);
  const copies = steps.flatMap(({ op, where }) => {
    const subject = subjects.get(where);
    return op.kind === 'copy' && subject && takesFromContext(op, steps) ? [{ op, subject }] : [];
  });
  const asked = copies.filter(({ subject }) => checks.isOn(ownRules.secretFileCopied, subject));
  if (asked.length === 0 || contextFiles === undefined) return;
  const secrets = contextFiles().filter(looksSecret);
  for (const { op, subject } of asked) {
    for (const secret of secrets) if (takes(op, secret)) checks.report(ownRules.secretFileCopied, subject, secret);
  }
}

function takesFromContext({ from }: CopyOperation, steps: readonly Step[]): boolean {
  const source = from === undefined ? undefined : steps[from]!.op;
  return source?.kind === 'context' && source.name === '';
}

function looksSecret(file: string): boolean {
  const name = path.posix.basename(file);
  if (exampleName.test(name)) return false;
  return secretPaths.test(file) || secretNames.some((secret) => secret.test(name));
}

/** Whether one of the sources is the file, or a directory that it is in, and no --exclude is about it. */
function takes({ paths, exclude }: CopyOperation, file: string): boolean {
  const excluded = compileExcludes(exclude);
  const parents = file.split('/').map((_, i, segments) => segments.slice(0, i + 1).join('/'));
  return paths.some((source) => {
    const clean = path.posix.join('/', source).slice(1).replace(/\/$/, '');
    const glob = hasWildcards(clean) ? parseGlob(clean) : undefined;
    const root = clean === '' ? '' : parents.find((parent) => (glob ? matchesGlob(glob, parent) : parent === clean));
    if (root === undefined) return false;
    const below = root === '' ? file : file.slice(root.length + 1);
    return below === '' || !excludesPath(excluded, below);
  });
}
