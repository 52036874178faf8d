// The README's examples, as they stand: every command of its console blocks is run, in order, and must print what the README shows.
// Times, digests and sizes may differ, lines that the README leaves out are free, and concurrent steps may take turns as they like.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freshStore } from '../support/stores.ts';
import { fixtures, repository } from '../support/tbuild.ts';

const readme = readFileSync(path.join(repository, 'README.md'), 'utf8');
let directory: string;
let environment: NodeJS.ProcessEnv;

beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'tbuild-readme-'));
  cpSync(fixtures, path.join(directory, 'fixtures'), { recursive: true });
  environment = { ...process.env, PATH: `${repository}/bin:${process.env.PATH}`, TBUILD_ROOT: freshStore() };
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('the README', () => {
  const examples = consoleExamples(readme);

  test('has examples', () => {
    expect(examples.length).toBeGreaterThan(8);
  });

  test.each(examples)('$command', ({ command, shown }) => {
    const script = `{ ${command}\n} 2>&1 || true`;
    const printed = execFileSync('sh', ['-c', script], { cwd: directory, env: environment, encoding: 'utf8' });
    const lines = new Set(printed.split('\n').map(withoutAccidents));
    for (const line of shown.map(withoutAccidents)) expect(lines, printed).toContain(line);
  });

  test('shows the fixture that it talks about', () => {
    expect(readme).toContain(`\`\`\`dockerfile\n${readFileSync(path.join(fixtures, 'greeting/Dockerfile'), 'utf8')}\`\`\``);
  });
});

interface Example {
  readonly command: string;
  readonly shown: readonly string[];
}

function consoleExamples(markdown: string): Example[] {
  const blocks = [...markdown.matchAll(/^```console\n([\s\S]*?)^```$/gm)].map((match) => match[1]!);
  return blocks.flatMap((block) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((example) => {
        const [command, ...shown] = example.trimEnd().split('\n');
        return { command: command!, shown };
      }),
  );
}

/** What may differ from one machine or run to the next. */
function withoutAccidents(line: string): string {
  return line
    .replace(/^log .*/, 'log')
    .replace(/\b[0-9a-f]{12,64}\b/, '<digest>')
    .replace(/^#\d+ \d+\.\d+ /, '#<n> <time> ')
    .replace(/^#\d+ /, '#<n> ')
    .replace(/\b\d+\.\d+s$/, '<time>')
    .replace(/\S+ \S+ ago|Less than a second ago|About an? \S+ ago/, '<age>')
    .replace(/\b[\d.]+[kM]B$/, '<size>')
    .replace(/^(amd64|arm64)$/, '<architecture>')
    .replace(/ {2,}/g, '  ')
    .trimEnd();
}
