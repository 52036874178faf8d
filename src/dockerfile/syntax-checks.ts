// The build checks that need no more than the file: those that parsing answers by the way (BuildKit: instructions/parse.go), and those that
// look at all its stages (dockerfile2llb/validations.go). One function for each rule.

import type { Checks } from './checks.ts';
import type { Stage } from './instructions.ts';
import { rules } from './rules.ts';
import type { Node } from './syntax.ts';

/** Before any instruction is looked at for its meaning. */
export function checkContinuations(nodes: readonly Node[], checks: Checks): void {
  for (const node of nodes) {
    if (node.hasBlankLine) checks.report(rules.noEmptyContinuation, { where: lastLineOf(node), comments: node.comments });
  }
}

/** Where BuildKit finds an empty continuation: on the instruction's last line, heredocs left out. */
function lastLineOf({ where, heredocs }: Node): Node['where'] {
  const { file, text } = where;
  return {
    file,
    text,
    get range() {
      const bodies = heredocs.reduce((lines, { content }) => lines + content.split('\n').length, 0);
      const line = where.range.endLine - bodies;
      return { ...where.range, startLine: line, startColumn: 0, endLine: line };
    },
  };
}

/** Before the instruction is parsed. */
export function checkNode(node: Node, checks: Checks): void {
  const keyword = node.keyword.toLowerCase();
  if (keyword === 'maintainer') checks.report(rules.maintainerDeprecated, node);
  if (keyword === 'from') {
    checkStageNameCasing(node, checks);
    checkAsCasing(node, checks);
  }
}

function checkStageNameCasing(node: Node, checks: Checks): void {
  const name = node.args[2];
  if (node.args.length === 3 && name !== name?.toLowerCase()) checks.report(rules.stageNameCasing, node, name!);
}

function checkAsCasing(node: Node, checks: Checks): void {
  const as = node.args[1];
  if (as === undefined || node.args.length < 3) return;
  const isLower = node.keyword === node.keyword.toLowerCase();
  const isUpper = node.keyword === node.keyword.toUpperCase();
  // Only where FROM itself is of one case is it known which one AS should have.
  if ((isLower && as !== as.toLowerCase()) || (isUpper && as !== as.toUpperCase())) {
    checks.report(rules.fromAsCasing, node, node.keyword, as);
  }
}

/** `names`: the stage's, or the arguments that an ARG declares. */
export function checkDescription(node: Node, names: readonly string[], checks: Checks): void {
  const comment = node.comments.at(-1);
  if (comment === undefined || names.length === 0 || names.includes(comment.split(' ', 1)[0]!)) return;
  const shown = names.length > 1 ? '<arg_key>' : names[0]!;
  checks.report(rules.invalidDefinitionDescription, node, node.keyword.toUpperCase(), shown);
}

/** When all of the file has been parsed. */
export function checkStages(stages: readonly Stage[], checks: Checks): void {
  checkStageNames(stages, checks);
  checkKeywordCasing(stages, checks);
}

function checkStageNames(stages: readonly Stage[], checks: Checks): void {
  const names = new Set<string>();
  for (const stage of stages) {
    const { name } = stage;
    if (name === undefined) continue;
    if (name === 'scratch' || name === 'context') checks.report(rules.reservedStageName, stage, name);
    if (names.has(name)) checks.report(rules.duplicateStageName, stage, name);
    names.add(name);
  }
}

function checkKeywordCasing(stages: readonly Stage[], checks: Checks): void {
  const written = stages
    .flatMap((stage) => [stage, ...stage.instructions])
    .map((instruction) => ({ instruction, keyword: keywordOf(instruction) }));
  const lower = written.filter(({ keyword }) => keyword === keyword.toLowerCase()).length;
  const upper = written.filter(({ keyword }) => keyword === keyword.toUpperCase()).length;
  const isLower = lower > upper;
  for (const { instruction, keyword } of written) {
    if (keyword === (isLower ? keyword.toLowerCase() : keyword.toUpperCase())) continue;
    checks.report(rules.consistentInstructionCasing, instruction, keyword, isLower ? 'lowercase' : 'uppercase');
  }
}

/** As written: `RUN`, `run`. */
export function keywordOf({ original }: { readonly original: string }): string {
  return /^\S*/.exec(original)![0];
}
