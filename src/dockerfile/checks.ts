// Build checks that parsing answers by the way (BuildKit: linter/ruleset.go, instructions/parse.go), and the
// `# check=` directive and comments that silence them. The other rules need a plan, and are not here.

import type { Location } from '../base/errors.ts';
import type { Node } from './syntax.ts';
import type { Warning } from './warning.ts';

interface Silenced {
  readonly all: boolean;
  readonly rules: ReadonlySet<string>;
}

/** `skip=A,B;error=true`: what is skipped. */
function readSkipped(value: string | undefined): Silenced {
  const skip = /(?:^|;)\s*skip=(?<rules>[^;]*)/.exec(value ?? '')?.groups?.rules ?? '';
  const rules = skip.split(',').map((rule) => rule.trim());
  return { all: rules.includes('all'), rules: new Set(rules) };
}

/** `check`: the directive's value. */
export function checkSyntax(nodes: readonly Node[], check: string | undefined): Warning[] {
  const everywhere = readSkipped(check);
  return nodes.flatMap((node) => {
    const found = findingsOf(node);
    if (found.length === 0) return found;
    const here = node.comments.map((comment) => readSkipped(/^check=(?<value>.*)$/s.exec(comment)?.groups?.value));
    const silenced = [everywhere, ...here];
    return found.filter(({ rule }) => !silenced.some(({ all, rules }) => all || rules.has(rule)));
  });
}

function findingsOf(node: Node): Warning[] {
  const found: Warning[] = [];
  const keyword = node.keyword.toLowerCase();
  if (node.hasBlankLine) found.push(warning('NoEmptyContinuation', 'Empty continuation line', node.where));
  if (keyword === 'maintainer') {
    found.push(warning('MaintainerDeprecated', 'Maintainer instruction is deprecated in favor of using label', node.where));
  }
  const [, as, name] = keyword === 'from' ? node.args : [];
  if (as === undefined || name === undefined) return found;
  if (name !== name.toLowerCase()) {
    found.push(warning('StageNameCasing', `Stage name '${name}' should be lowercase`, node.where));
  }
  const isLower = node.keyword === keyword;
  const isUpper = node.keyword === keyword.toUpperCase();
  // Only where FROM itself is of one case is it known which one AS should have.
  if ((isLower && as !== as.toLowerCase()) || (isUpper && as !== as.toUpperCase())) {
    found.push(warning('FromAsCasing', `'${as}' and '${node.keyword}' keywords' casing do not match`, node.where));
  }
  return found;
}

function warning(rule: string, message: string, where: Location): Warning {
  const page = rule.replace(/(?<=.)[A-Z]/g, (letter) => `-${letter}`).toLowerCase();
  return { rule, message, url: `https://docs.docker.com/go/dockerfile/rule/${page}/`, where };
}
