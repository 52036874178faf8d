// What the parser makes of a Dockerfile, as data that others can compare: the members that dumps of BuildKit's parser have, under their names
// (instructions, stages, meta_args, warnings, lint_rules, or the error), and beside them the range of everything.

import { type ErrorObject, toErrorObject } from '../base/error-object.ts';
import { type SourceRange, TbuildError } from '../base/errors.ts';
import type { Command } from './arguments.ts';
import { Checks } from './checks.ts';
import type { ArgInstruction, Stage } from './instructions.ts';
import { parseDockerfile } from './parse.ts';
import { bodyRange } from './places.ts';
import { type Node, parseSyntax } from './syntax.ts';

export interface DockerfileDescription {
  readonly escape?: string;
  readonly instructions?: readonly InstructionDescription[];
  readonly stages?: readonly StageDescription[];
  /** `NAME=default`, of the ARGs before the first FROM. */
  readonly meta_args?: readonly string[];
  readonly meta_arg_ranges?: readonly SourceRange[];
  readonly syntax?: string;
  readonly warnings?: readonly string[];
  /** `Rule:count`: those of the build checks that need the text alone. */
  readonly lint_rules?: readonly string[];
  /** The text is no Dockerfile; or an instruction is none, or wrong. */
  readonly parse_error?: string;
  readonly instruction_error?: string;
  readonly error?: ErrorObject;
}

export interface InstructionDescription {
  readonly cmd: string;
  readonly flags?: readonly string[];
  /** ENV and LABEL: name, value, and `=` or nothing, again and again. ONBUILD: its trigger, in parentheses. */
  readonly args: readonly string[];
  readonly json_form?: true;
  readonly start_line: number;
  readonly end_line: number;
  readonly original: string;
  readonly heredocs?: readonly HeredocDescription[];
  readonly comments?: readonly string[];
  readonly range: SourceRange;
  readonly keyword_range: SourceRange;
  readonly flag_ranges?: readonly SourceRange[];
  readonly arg_ranges: readonly SourceRange[];
}

export interface HeredocDescription {
  readonly Name: string;
  readonly Content: string;
  readonly Expand: boolean;
  readonly Chomp: boolean;
  readonly range: SourceRange;
}

export interface StageDescription {
  readonly Name: string;
  readonly Base: string;
  readonly Platform: string;
  readonly Commands: readonly string[] | null;
  readonly range: SourceRange;
  readonly base_range: SourceRange;
  readonly name_range?: SourceRange;
}

/** Throws nothing for what is wrong with the text: that is part of the description, and `error` what was thrown. */
export function describeDockerfile(
  source: string | Uint8Array,
  file: string,
): { description: DockerfileDescription; error?: TbuildError } {
  let tree: ReturnType<typeof parseSyntax>;
  try {
    tree = parseSyntax(source, file);
  } catch (error) {
    const failure = expected(error);
    return { description: { parse_error: failure.message, error: toErrorObject(failure) }, error: failure };
  }
  const { nodes, directives } = tree;
  const warnings = nodes.filter((node) => node.hasBlankLine).map((node) => `Empty continuation line found in: ${node.original}`);
  const syntax: DockerfileDescription = {
    escape: directives.escapeToken,
    instructions: nodes.map(describeNode),
    ...(directives.syntax === undefined ? {} : { syntax: directives.syntax.split(' ')[0]! }),
    ...(warnings.length === 0 ? {} : { warnings }),
  };
  // Nothing that the file says about checks counts: what would be found is said.
  const checks = new Checks('');
  try {
    const { globalArgs, stages } = parseDockerfile(source, file, checks);
    const parsed = { stages: stages.map(describeStage), ...describeMetaArgs(globalArgs) };
    return { description: { ...syntax, ...parsed, ...lintRules(checks) } };
  } catch (error) {
    const failure = expected(error);
    const { code, message, where } = failure;
    const place = code === 'dockerfile/no-stage' ? '' : `dockerfile parse error on line ${where?.range.startLine}: `;
    const said = { instruction_error: place + message, error: toErrorObject(failure) };
    return { description: { ...syntax, ...said, ...lintRules(checks) }, error: failure };
  }
}

function expected(error: unknown): TbuildError {
  if (error instanceof TbuildError) return error;
  throw error;
}

/** The rules that BuildKit's parser answers; its other ones look at all stages, or need a plan, and NoEmptyContinuation is among its warnings. */
const parserRules = new Set(['StageNameCasing', 'FromAsCasing', 'MaintainerDeprecated', 'InvalidDefinitionDescription']);

function lintRules({ warnings }: Checks): Pick<DockerfileDescription, 'lint_rules'> {
  const counts = new Map<string, number>();
  for (const { rule } of warnings) if (parserRules.has(rule)) counts.set(rule, (counts.get(rule) ?? 0) + 1);
  return counts.size === 0 ? {} : { lint_rules: [...counts].map(([rule, count]) => `${rule}:${count}`) };
}

function describeNode(node: Node): InstructionDescription {
  const { places, comments } = node;
  const { range } = node.where;
  return {
    cmd: node.keyword.toUpperCase(),
    ...(node.flags.length === 0 ? {} : { flags: node.flags }),
    args: node.trigger === undefined ? node.args : [dump(node.trigger)],
    ...(node.json ? { json_form: true } : {}),
    start_line: range.startLine,
    end_line: range.endLine,
    original: node.original,
    ...(node.heredocs.length === 0 ? {} : { heredocs: node.heredocs.map(describeHeredoc) }),
    ...(comments.length === 0 ? {} : { comments }),
    range,
    keyword_range: node.keywordRange,
    ...(node.flags.length === 0 ? {} : { flag_ranges: node.flags.map((_, i) => places.flag(i)().range) }),
    arg_ranges: node.trigger === undefined ? node.args.map((_, i) => places.argument(i)().range) : [places.arguments()().range],
  };
}

function describeHeredoc(heredoc: Node['heredocs'][number]): HeredocDescription {
  const { name, content, expand, chomp } = heredoc;
  return { Name: name, Content: content, Expand: expand, Chomp: chomp, range: bodyRange(heredoc) };
}

function describeStage({ name, base, platform, instructions, where, places }: Stage): StageDescription {
  return {
    Name: name ?? '',
    Base: base,
    Platform: platform ?? '',
    Commands: instructions.length === 0 ? null : instructions.map(({ kind }) => kind.toUpperCase()),
    range: where.range,
    base_range: places.argument(0)().range,
    ...(name === undefined ? {} : { name_range: places.argument(2)().range }),
  };
}

function describeMetaArgs(globalArgs: readonly ArgInstruction[]): Pick<DockerfileDescription, 'meta_args' | 'meta_arg_ranges'> {
  if (globalArgs.length === 0) return {};
  return {
    meta_args: globalArgs.flatMap(({ args }) => args.map(({ name, value }) => `${name}=${value ?? ''}`)),
    meta_arg_ranges: globalArgs.flatMap(({ args, places }) => args.map((_, i) => places.argument(i)().range)),
  };
}

/** As BuildKit's parser dumps a node. */
function dump({ keyword, flags, args }: Command): string {
  const written = flags.length === 0 ? [] : [`[${flags.map((flag) => JSON.stringify(flag)).join(' ')}]`];
  return `(${[keyword.toLowerCase(), ...written, ...args.map((arg) => JSON.stringify(arg))].join(' ')})`;
}
