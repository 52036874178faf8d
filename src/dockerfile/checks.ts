// What the build checks have found so far, without what is skipped (BuildKit: linter/linter.go). Parsing and planning report to it; places are
// not asked for their lines here, since finding these costs more than a build in which nobody looks at them should pay.

import type { Location } from '../base/errors.ts';
import { type CheckOptions, noOptions, parseCheckOptions } from './check-options.ts';
import { dockerfileError, locate } from './errors.ts';
import { ownRules, type Rule } from './rules.ts';
import { didYouMean } from './suggest.ts';
import type { Warning } from './warning.ts';

/** An instruction, as far as a finding is concerned. */
export interface Subject {
  readonly where: Location;
  /** The comment lines directly above it. */
  readonly comments: readonly string[];
}

/** Beyond these nobody reads them, and to look for them among the names of a generated file takes minutes. */
const maxSuggestions = 100;
const maxCandidates = 10_000;

const ownNames: ReadonlySet<string> = new Set(Object.values(ownRules).map(({ name }) => name));

export class Checks {
  readonly warnings: Warning[] = [];
  private options = noOptions;
  private readonly hasOverride: boolean;
  private directive: Location | undefined;
  private suggestions = 0;

  /** `override`: the build argument BUILDKIT_DOCKERFILE_CHECK, which counts instead of the directive. */
  constructor(override?: string) {
    this.hasOverride = override !== undefined;
    if (override !== undefined) this.options = parseCheckOptions(override);
  }

  /** The `# check=` directive; words after the first are not its. */
  configure(value: string | undefined, where: Location | undefined): void {
    if (value === undefined || where === undefined || this.hasOverride) return;
    this.options = locate(where, () => parseCheckOptions(value.split(' ', 1)[0]!));
    this.directive = where;
  }

  report<Facts extends readonly string[]>(rule: Rule<Facts>, subject: Subject, ...facts: Facts): void {
    if (!this.isOn(rule, subject)) return;
    const { name, description, url } = rule;
    this.warnings.push({ rule: name, description, message: rule.message(...facts), url, where: subject.where });
  }

  /** What was meant; empty: nothing is near, or enough has been suggested. */
  suggest(word: string, known: Iterable<string>): string {
    this.suggestions++;
    if (this.suggestions > maxSuggestions) return '';
    return didYouMean(word, [...known].slice(0, maxCandidates)) ?? '';
  }

  /** Whether a finding would be kept; for rules that cost something. */
  isOn(rule: Pick<Rule, 'name' | 'isOptIn'>, subject?: Subject): boolean {
    const options = [this.options, ...(subject?.comments ?? []).flatMap(readComment)];
    if (rule.isOptIn) return options.some(({ experimental }) => asksFor(experimental, rule.name));
    return !options.some(({ skip }) => skip.all || skip.listed.has(rule.name));
  }

  /** Whether any of tbuild's own rules may be on, here or for an instruction; `text`: the Dockerfile. */
  wantsOwn(text: string): boolean {
    return this.options.experimental.listed.size > 0 || text.includes('experimental=');
  }

  /** Throws where `error=true` makes findings a failure. */
  refuse(): void {
    if (this.options.error !== true || this.warnings.length === 0) return;
    const names = [...new Set(this.warnings.map(({ rule }) => rule))];
    throw dockerfileError('lint', `lint violation found for rules: ${names.join(', ')}`, this.directive);
  }
}

/** `all` is all that BuildKit knows: a Dockerfile that passes there is to pass here. */
function asksFor({ all, listed }: CheckOptions['experimental'], name: string): boolean {
  return listed.has(name) || (ownNames.has(name) ? listed.has('tbuild') : all);
}

/** `check=skip=X` above an instruction. What does not parse is a comment like any other. */
function readComment(comment: string): CheckOptions[] {
  const value = /^check\s*=\s*(?<value>\S+)/i.exec(comment)?.groups?.value;
  if (value === undefined) return [];
  try {
    return [parseCheckOptions(value)];
  } catch {
    return [];
  }
}
