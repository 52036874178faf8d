// The build checks that need to know what variables hold, what a stage stands on, or which files there are
// (BuildKit: dockerfile2llb/validations.go, convert.go, convert_expose.go). One function for each rule; who plans calls them.

import path from 'node:path';
import { excludesPath, type IgnoreRules } from '../context/ignore.ts';
import type { Checks, Subject } from '../dockerfile/checks.ts';
import type { CommandLine, Dockerfile, Pair, Stage } from '../dockerfile/instructions.ts';
import { rules } from '../dockerfile/rules.ts';
import { keywordOf } from '../dockerfile/syntax-checks.ts';
import { type Environment, type Expansion, expand } from '../dockerfile/words.ts';
import type { Platform } from '../oci/config.ts';
import { formatPlatform, parsePlatform } from '../oci/platform.ts';
import { normalizeName } from '../oci/reference.ts';
import { builderArgs } from './global-scope.ts';

/** With the arguments' defaults alone every FROM should name an image. What cannot be expanded is another's error. */
export function checkDefaultBases({ stages, escapeToken }: Dockerfile, defaults: () => Environment, checks: Checks): void {
  let names: string[];
  try {
    const scope = defaults();
    names = stages.map(({ base }) => expand(base, scope, { escapeToken }).value);
  } catch {
    return;
  }
  for (const [i, stage] of stages.entries()) {
    if (!isReference(names[i]!)) checks.report(rules.invalidDefaultArgInFrom, stage, stage.base);
  }
}

function isReference(name: string): boolean {
  try {
    normalizeName(name);
    return true;
  } catch {
    return false;
  }
}

/** For FROM's own words: what it stands on, and its platform. */
export class FromChecks {
  private readonly scope: Environment;
  private readonly checks: Checks;
  /** The global scope's names, and those of arguments without a value. */
  private readonly declared: ReadonlySet<string>;

  constructor({ globalArgs }: Dockerfile, scope: Environment, checks: Checks) {
    this.scope = scope;
    this.checks = checks;
    this.declared = new Set([...scope.keys(), ...globalArgs.flatMap(({ args }) => args.map(({ name }) => name))]);
  }

  arguments(stage: Stage, { unmatched }: Expansion): void {
    for (const name of unmatched) {
      if (this.declared.has(name)) continue;
      this.checks.report(rules.undefinedArgInFrom, stage, name, this.checks.suggest(name, this.declared));
    }
  }

  redundantPlatform(stage: Stage, { value, matched, unmatched }: Expansion): void {
    if (matched.size !== 1 || unmatched.size > 0 || !matched.has('TARGETPLATFORM')) return;
    if (value === this.scope.get('TARGETPLATFORM')) this.checks.report(rules.redundantTargetPlatform, stage, stage.platform!);
  }

  /** A stage that is named after its platform means it. */
  constantPlatform(stage: Stage, { value, matched, unmatched }: Expansion): void {
    if (matched.size + unmatched.size > 0) return;
    let platform: Platform;
    try {
      platform = parsePlatform(value);
    } catch {
      return;
    }
    const name = stage.name ?? '';
    if (name.includes(platform.os) || name.includes(platform.architecture)) return;
    this.checks.report(rules.fromPlatformFlagConstDisallowed, stage, value);
  }
}

export function checkBasePlatform(
  { written, subject }: { readonly written: string; readonly subject: Subject },
  expected: Platform,
  actual: Platform,
  checks: Checks,
): void {
  if (expected.os === actual.os && expected.architecture === actual.architecture) return;
  checks.report(rules.invalidBaseImagePlatform, subject, written, formatPlatform(expected), formatPlatform(actual));
}

interface CheckedStart {
  readonly hasWorkdir: boolean;
  readonly isBaseKnown: boolean;
  readonly args: readonly { readonly name: string }[];
}

/** What is remembered of a stage for its checks. A stage that begins FROM it starts with `hasWorkdir` and `isBaseKnown`. */
export class StageChecks {
  /** The instruction that is being planned. */
  subject: Subject;
  /** A WORKDIR was there before, in the file. */
  hasWorkdir: boolean;
  /** Not when checking goes on without an image that is not here: what its config sets cannot be told. */
  readonly isBaseKnown: boolean;
  /** The ARGs so far: one without a value is unset, but known. */
  readonly declared: Set<string>;
  private readonly earlier = new Map<string, Subject>();
  private readonly checks: Checks;

  constructor(checks: Checks, subject: Subject, start: CheckedStart) {
    this.checks = checks;
    this.subject = subject;
    this.hasWorkdir = start.hasWorkdir;
    this.isBaseKnown = start.isBaseKnown;
    this.declared = new Set(start.args.map(({ name }) => name));
  }

  /** On a base that is not known only what looks misspelt: the rest may be that image's. */
  variables(unmatched: ReadonlySet<string>, environment: Environment): void {
    for (const name of unmatched) {
      if (builderArgs.has(name) || this.declared.has(name)) continue;
      const meant = this.checks.suggest(name, environment.keys());
      if (meant !== '' || this.isBaseKnown) this.checks.report(rules.undefinedVar, this.subject, name, meant);
    }
  }

  /** Only the first WORKDIR of the stages below each other: with it, all that follow are right or wrong. */
  workdir(written: string): void {
    if (!this.hasWorkdir && !written.startsWith('/')) this.checks.report(rules.workdirRelativePath, this.subject, written);
    this.hasWorkdir = true;
  }

  legacyPairs(instruction: { readonly original: string; readonly pairs: readonly Pair[] }): void {
    for (const { isLegacy } of instruction.pairs) {
      if (isLegacy) this.checks.report(rules.legacyKeyValueFormat, this.subject, keywordOf(instruction));
    }
  }

  secretName(keyword: 'ARG' | 'ENV', name: string): void {
    if (secretWord.test(name) && !harmlessWord.test(name)) {
      this.checks.report(rules.secretsUsedInArgOrEnv, this.subject, keyword, name);
    }
  }

  /** The place is that of the earlier one: it is the one that counts for nothing. */
  usedOnce(instruction: Subject & { readonly kind: string; readonly original: string }): void {
    const { kind } = instruction;
    const earlier = this.earlier.get(kind);
    if (earlier !== undefined) {
      this.checks.report(rules.multipleInstructionsDisallowed, earlier, keywordOf(instruction));
    }
    this.earlier.set(kind, this.subject);
  }

  commandForm(instruction: { readonly original: string; readonly command: CommandLine }, hasOwnShell: boolean): void {
    if (instruction.command.form === 'exec' || hasOwnShell) return;
    this.checks.report(rules.jsonArgsRecommended, this.subject, keywordOf(instruction));
  }

  port(specification: string): void {
    const parts = specification.split(':');
    const [, protocol = ''] = parts.pop()!.split('/');
    if (protocol !== protocol.toLowerCase()) this.checks.report(rules.exposeProtoCasing, this.subject, specification);
    if (parts.some((part) => part !== '')) this.checks.report(rules.exposeInvalidFormat, this.subject, specification);
  }

  /** Exceptions are not looked through: a file may be there again below a directory that is not. */
  copySource(kind: 'add' | 'copy', source: string, ignore: IgnoreRules | undefined): void {
    if (ignore === undefined || ignore.hasExceptions) return;
    const clean = path.posix.normalize(source === '' ? '.' : source).replace(/(?<=.)\/$/, '');
    const isExcluded = clean === '.' || clean === '/' ? ignore.excludesAll : excludesPath(ignore, clean);
    if (isExcluded) this.checks.report(rules.copyIgnoredFile, this.subject, kind === 'add' ? 'Add' : 'Copy', clean);
  }
}

const words = (list: string) => new RegExp(`(?:_|^)(?:${list})(?:_|$)`, 'i');
const secretWord = words('apikey|auth|credential|credentials|key|password|pword|passwd|secret|token');
const harmlessWord = words('public|file|version');
