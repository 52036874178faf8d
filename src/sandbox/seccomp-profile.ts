// A seccomp profile in docker's JSON form as the runtime-spec has it: what it includes or excludes by architecture, capability and kernel is decided here
// (moby: profiles/seccomp/seccomp_linux.go). Docker's own default profile is such a file.

import { release } from 'node:os';
import { TbuildError } from '../base/errors.ts';
import type { Argument, SeccompProfile, SyscallRule } from './seccomp.ts';

interface Filter {
  readonly caps?: readonly string[] | null;
  readonly arches?: readonly string[] | null;
  readonly minKernel?: string | null;
}

interface WrittenRule {
  readonly name?: string;
  readonly names?: readonly string[] | null;
  readonly action: string;
  readonly errnoRet?: number | null;
  readonly args?: readonly Argument[] | null;
  readonly includes?: Filter | null;
  readonly excludes?: Filter | null;
}

interface WrittenProfile {
  readonly defaultAction?: string;
  readonly defaultErrnoRet?: number | null;
  readonly architectures?: readonly string[] | null;
  readonly archMap?: readonly { readonly architecture: string; readonly subArchitectures?: readonly string[] | null }[] | null;
  readonly syscalls?: readonly WrittenRule[] | null;
  readonly flags?: readonly string[] | null;
  readonly listenerPath?: string;
  readonly listenerMetadata?: string;
}

export interface SeccompSurroundings {
  /** As images name it: `amd64`. */
  readonly architecture: string;
  readonly capabilities: readonly string[];
  /** As uname says it. */
  readonly kernel?: string;
}

/** Throws `usage/seccomp`. */
export function readSeccompProfile(text: string, surroundings: SeccompSurroundings): SeccompProfile {
  const written = parse(text);
  const { defaultAction, defaultErrnoRet, flags, listenerPath, listenerMetadata } = written;
  if (!isText(defaultAction)) throw invalid('it has no defaultAction');
  return {
    defaultAction,
    ...(typeof defaultErrnoRet === 'number' && { defaultErrnoRet }),
    architectures: architecturesOf(written, surroundings.architecture),
    ...(flags && { flags: listOf(flags, 'flags') }),
    ...(listenerPath && { listenerPath }),
    ...(listenerMetadata && { listenerMetadata }),
    syscalls: listOf(written.syscalls, 'syscalls').flatMap((rule) => {
      if (typeof rule !== 'object' || rule === null) throw invalid('a rule is no object');
      return applies(rule, surroundings) ? [ruleOf(rule)] : [];
    }),
  };
}

const invalid = (why: string, cause?: unknown) =>
  new TbuildError('usage/seccomp', `decoding seccomp profile failed: ${why}`, cause === undefined ? {} : { cause });

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

function listOf<T>(value: readonly T[] | null | undefined, field: string): readonly T[] {
  if (value !== undefined && value !== null && !Array.isArray(value)) throw invalid(`${field} is no list`);
  return value ?? [];
}

/** Numbers beyond those of JavaScript stay as they are written. */
function parse(text: string): WrittenProfile {
  const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };
  const exact = (_key: string, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && context?.source !== undefined ? rawJSON(context.source) : value;
  try {
    const profile = JSON.parse(text, exact as (key: string, value: unknown) => unknown);
    if (typeof profile === 'object' && profile !== null && !Array.isArray(profile)) return profile;
  } catch (cause) {
    throw invalid((cause as Error).message, cause);
  }
  throw invalid('it is no object');
}

const NATIVE: Readonly<Record<string, string>> = { amd64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' };

/** Those below this machine's, in a map; or as they are listed. */
function architecturesOf({ architectures, archMap }: WrittenProfile, architecture: string): string[] {
  const listed = listOf(architectures, 'architectures');
  const map = listOf(archMap, 'archMap');
  if (listed.length > 0 && map.length > 0)
    throw invalid(
      "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'",
    );
  const native = map.find((entry) => entry?.architecture === NATIVE[architecture]);
  return native ? [native.architecture, ...listOf(native.subArchitectures, 'subArchitectures')] : [...listed];
}

function applies(
  { includes, excludes }: WrittenRule,
  { architecture, capabilities, kernel = release() }: SeccompSurroundings,
): boolean {
  const isArch = (filter: Filter) => listOf(filter.arches, 'arches').includes(architecture);
  const has = (name: string) => capabilities.includes(name);
  if (excludes) {
    if (isArch(excludes) || listOf(excludes.caps, 'caps').some(has)) return false;
    if (excludes.minKernel && isAtLeast(kernel, excludes.minKernel)) return false;
  }
  if (!includes) return true;
  if (listOf(includes.arches, 'arches').length > 0 && !isArch(includes)) return false;
  if (!listOf(includes.caps, 'caps').every(has)) return false;
  return !includes.minKernel || isAtLeast(kernel, includes.minKernel);
}

function isAtLeast(kernel: string, wanted: string): boolean {
  const [, major, minor] = /^(\d{1,5})\.(\d{1,5})$/.exec(wanted) ?? [];
  if (major === undefined || minor === undefined) throw invalid(`minKernel is no version of a kernel: ${wanted}`);
  const [ownMajor = 0, ownMinor = 0] = kernel.split('.', 2).map((part) => Number.parseInt(part, 10));
  return ownMajor > Number(major) || (ownMajor === Number(major) && ownMinor >= Number(minor));
}

function ruleOf({ name, names, action, errnoRet, args }: WrittenRule): SyscallRule {
  const listed = listOf(names, 'names');
  if (name && listed.length > 0)
    throw invalid("both 'name' and 'names' are specified in a rule of the seccomp profile, use either 'name' or 'names'");
  const all = name ? [name] : listed;
  if (!all.every(isText) || !isText(action)) throw invalid('a rule needs names and an action');
  return {
    names: all,
    action,
    ...(typeof errnoRet === 'number' && { errnoRet }),
    ...(args?.length && { args: listOf(args, 'args') }),
  };
}
