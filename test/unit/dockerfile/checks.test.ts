// What may be said in `# check=`, what it does, and that the page about the rules tells of each of them what it says.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { parseCheckOptions } from '../../../src/dockerfile/check-options.ts';
import { Checks } from '../../../src/dockerfile/checks.ts';
import { ownRules, type Rule, rules } from '../../../src/dockerfile/rules.ts';

const page = readFileSync(path.join(import.meta.dirname, '../../../docs/checks.md'), 'utf8');

/** The rows of the page's tables of rules: first cell and third. */
function documented(): { name: string; message: string }[] {
  const tables = page.slice(page.indexOf('## Rules that BuildKit has'));
  return tables.split('\n').flatMap((line) => {
    const [name = '', , message = ''] = line.slice(2, -2).split(' | ');
    return /^\| [A-Z]\w+(?:, when asked for)? \|/.test(line) ? [{ name: name.replace(', when asked for', ''), message }] : [];
  });
}

test('the page has every rule, in order, and nothing else', () => {
  const all: readonly { readonly name: string }[] = [...Object.values(rules), ...Object.values(ownRules)];
  expect(documented().map(({ name }) => name)).toEqual(all.map(({ name }) => name));
});

test('the page quotes what the rules say', () => {
  for (const { name, message } of documented()) {
    const found: Rule<string[]> = Object.values({ ...rules, ...ownRules }).find((one) => one.name === name) as never;
    // Each fact of a message stands for anything; a suggestion is not shown.
    const said = found.message('§', '§', '§').replace(/ \(did you mean.*\)/, '');
    const pattern = said.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('§', '.*');
    expect(message, name).toMatch(new RegExp(`^${pattern}$`));
  }
});

test('only what BuildKit has a page for has one', () => {
  const withoutPage = Object.values({ ...rules, ...ownRules }).filter(({ url }) => url === undefined);
  expect(withoutPage.map(({ name }) => name)).toEqual([
    'InvalidBaseImagePlatform',
    ...Object.values(ownRules).map(({ name }) => name),
  ]);
  expect(rules.jsonArgsRecommended.url).toBe('https://docs.docker.com/go/dockerfile/rule/json-args-recommended/');
  expect(rules.secretsUsedInArgOrEnv.url).toBe('https://docs.docker.com/go/dockerfile/rule/secrets-used-in-arg-or-env/');
});

describe('check=', () => {
  it('takes lists, all, and a boolean, with blanks around them', () => {
    expect(parseCheckOptions(' skip = A , B ; error = TRUE;experimental=all')).toEqual({
      skip: { all: false, listed: new Set(['A', 'B']) },
      experimental: { all: true, listed: new Set() },
      error: true,
    });
  });

  it.each([
    ['skip', 'invalid check option "skip"'],
    ['skip=A;', 'invalid check option ""'],
    ['Skip=A', 'invalid check option "Skip"'],
    ['error=yes', 'failed to parse check option "error=yes": "yes" is neither true nor false'],
  ])('%s is an error', (text, message) => {
    expect(() => parseCheckOptions(text)).toThrow(`failed to parse check options: ${message}`);
  });
});

describe('a finding', () => {
  const where = { file: 'Dockerfile', text: '', range: { startLine: 1, startColumn: 0, endLine: 1, endColumn: 0 } };
  const found = (override: string, comments: string[] = []) => {
    const checks = new Checks(override);
    checks.report(rules.maintainerDeprecated, { where, comments });
    checks.report(rules.invalidDefinitionDescription, { where, comments }, 'ARG', 'V');
    checks.report(ownRules.missingUser, { where, comments });
    return checks.warnings.map(({ rule }) => rule);
  };

  it('is kept unless it is skipped, or has to be asked for', () => {
    expect(found('')).toEqual(['MaintainerDeprecated']);
    expect(found('skip=all')).toEqual([]);
    expect(found('skip=maintainerdeprecated')).toEqual(['MaintainerDeprecated']);
    expect(found('experimental=all')).toEqual(['MaintainerDeprecated', 'InvalidDefinitionDescription']);
    expect(found('experimental=tbuild')).toEqual(['MaintainerDeprecated', 'MissingUser']);
    expect(found('skip=all;experimental=MissingUser')).toEqual(['MissingUser']);
  });

  it('is silenced or asked for by a comment above; one that says nothing of the kind is a comment', () => {
    expect(found('', ['check=skip=MaintainerDeprecated'])).toEqual([]);
    expect(found('', ['CHECK = experimental=MissingUser and more words'])).toEqual(['MaintainerDeprecated', 'MissingUser']);
    expect(found('', ['check=the values', 'check = nothing'])).toEqual(['MaintainerDeprecated']);
  });
});
