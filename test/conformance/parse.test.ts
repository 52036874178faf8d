// 359 Dockerfiles, half of them of well-known repositories, against BuildKit's parser.

import { expect, test } from 'vitest';
import { TbuildError } from '../../src/base/errors.ts';
import type { Command } from '../../src/dockerfile/arguments.ts';
import { Checks } from '../../src/dockerfile/checks.ts';
import { parseDockerfile } from '../../src/dockerfile/parse.ts';
import { type Node, parseSyntax } from '../../src/dockerfile/syntax.ts';
import { describeReference, report } from './reference.ts';

interface Row {
  readonly name: string;
  readonly dockerfile: string;
  readonly expected: {
    readonly escape?: string;
    readonly instructions?: readonly unknown[];
    readonly stages?: readonly { readonly Commands: readonly string[] | null }[];
    readonly meta_args?: readonly string[];
    readonly syntax?: string;
    readonly warnings?: readonly string[];
    readonly lint_rules?: readonly string[];
    readonly parse_error?: string;
    readonly instruction_error?: string;
  };
}

/** What BuildKit's parser says of a file, in the shape the answers are kept in. */
function describeFile(text: string): Row['expected'] {
  let tree: ReturnType<typeof parseSyntax>;
  try {
    tree = parseSyntax(text, 'Dockerfile');
  } catch (error) {
    return { parse_error: messageOf(error).message };
  }
  const warnings = tree.nodes
    .filter((node) => node.hasBlankLine)
    .map((node) => `Empty continuation line found in: ${node.original}`);
  const syntax = {
    escape: tree.directives.escapeToken,
    instructions: tree.nodes.map(describeNode),
    ...(tree.directives.syntax === undefined ? {} : { syntax: tree.directives.syntax.split(' ')[0]! }),
    ...(warnings.length === 0 ? {} : { warnings }),
  };
  try {
    const { globalArgs, stages } = parseDockerfile(text, 'Dockerfile');
    const metaArgs = globalArgs.flatMap(({ args }) => args).map(({ name, value }) => `${name}=${value ?? ''}`);
    return {
      ...syntax,
      stages: stages.map((stage) => ({
        Name: stage.name ?? '',
        Base: stage.base,
        Platform: stage.platform ?? '',
        Commands: stage.instructions.length === 0 ? null : stage.instructions.map(({ kind }) => kind.toUpperCase()),
      })),
      ...(metaArgs.length === 0 ? {} : { meta_args: metaArgs }),
    };
  } catch (error) {
    const { code, message, line } = messageOf(error);
    const place = code === 'dockerfile/no-stage' ? '' : `dockerfile parse error on line ${line}: `;
    return { ...syntax, instruction_error: place + message };
  }
}

function messageOf(error: unknown): { code: string; message: string; line: number | undefined } {
  if (!(error instanceof TbuildError)) throw error;
  return { code: error.code, message: error.message, line: error.where?.range.startLine };
}

function describeNode(node: Node): unknown {
  return {
    cmd: node.keyword.toUpperCase(),
    ...(node.flags.length === 0 ? {} : { flags: node.flags }),
    args: node.trigger === undefined ? node.args : [dump(node.trigger)],
    ...(node.json ? { json_form: true } : {}),
    start_line: node.where.range.startLine,
    end_line: node.where.range.endLine,
    original: node.original,
    ...(node.heredocs.length === 0
      ? {}
      : {
          heredocs: node.heredocs.map(({ name, content, expand, chomp }) => ({
            Name: name,
            Content: content,
            Expand: expand,
            Chomp: chomp,
          })),
        }),
  };
}

const dump = ({ keyword, flags, args }: Command): string => {
  const written = flags.length === 0 ? [] : [`[${flags.map((flag) => JSON.stringify(flag)).join(' ')}]`];
  return `(${[keyword.toLowerCase(), ...written, ...args.map((arg) => JSON.stringify(arg))].join(' ')})`;
};

const sorted = (value: unknown): string =>
  JSON.stringify(value, (_, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );

/** NoEmptyContinuation is among its warnings; the others look at all stages, or need a plan. */
const parserRules = new Set(['StageNameCasing', 'FromAsCasing', 'MaintainerDeprecated', 'InvalidDefinitionDescription']);

/** The rules that BuildKit's parser finds, no directive heeded. */
function lintOf(text: string): string[] {
  const checks = new Checks('');
  try {
    parseDockerfile(text, 'Dockerfile', checks);
  } catch (error) {
    // What was found before it stays.
    messageOf(error);
  }
  return checks.warnings.map(({ rule }) => rule).filter((rule) => parserRules.has(rule));
}

describeReference('parse.json', 'language/parse.json', (text) => {
  const rows = JSON.parse(text) as readonly Row[];
  test('every file: instructions, stages, warnings, errors', () => {
    const failed = rows.flatMap(({ name, dockerfile, expected }) => {
      const { lint_rules: _, ...wanted } = expected;
      const actual = describeFile(dockerfile);
      return sorted(actual) === sorted(wanted) ? [] : [{ name, difference: firstDifference(wanted, actual) }];
    });
    expect(report(failed)).toBe('');
    expect(rows.length - failed.length).toBe(359);
  });

  test('the build checks that parsing answers', () => {
    const failed = rows.flatMap(({ name, dockerfile, expected: { parse_error, lint_rules = [] } }) => {
      if (parse_error !== undefined) return [];
      // Counted rules, in the order they were found.
      const wanted = lint_rules.flatMap((entry) => {
        const [rule, count] = entry.split(':') as [string, string];
        return Array.from({ length: Number(count) }, () => rule);
      });
      const actual = lintOf(dockerfile);
      return sorted(wanted.toSorted()) === sorted(actual.toSorted()) ? [] : [{ name, wanted, actual }];
    });
    expect(report(failed)).toBe('');
  });
});

function firstDifference(wanted: Row['expected'], actual: Row['expected']): unknown {
  for (const key of new Set([...Object.keys(wanted), ...Object.keys(actual)]) as Set<keyof Row['expected']>) {
    const [a, b] = [wanted[key], actual[key]];
    if (sorted(a) === sorted(b)) continue;
    if (!Array.isArray(a) || !Array.isArray(b)) return { key, wanted: a, actual: b };
    const index = a.findIndex((member, i) => sorted(member) !== sorted(b[i]));
    return { key, index, wanted: a[index], actual: b[index] };
  }
  return undefined;
}
