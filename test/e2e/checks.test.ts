// The build checks, each through the command: what BuildKit says, and on which line (its dockerfile_lint_test.go has the same cases).
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { ownRules, rules } from '../../src/dockerfile/rules.ts';
import { addImage, amd64, archiveOf, configOf, type Files, layerOf, named, setIndex } from '../support/archives.ts';
import { type ContextFile, makeContext } from '../support/contexts.ts';
import { emptyStore, freshStore } from '../support/stores.ts';
import { type Options, tbuild, tbuildOk } from '../support/tbuild.ts';

interface Case {
  readonly rule: string;
  readonly dockerfile: string;
  /** `line: message`, in the order of lines. */
  readonly found: readonly string[];
  readonly args?: readonly string[];
  readonly files?: Readonly<Record<string, ContextFile>>;
}

const cases: readonly Case[] = [
  {
    rule: 'StageNameCasing',
    dockerfile: '\nFROM scratch AS BadStageName\n',
    found: ["2: Stage name 'BadStageName' should be lowercase"],
  },
  {
    rule: 'FromAsCasing',
    dockerfile: '\nFROM scratch as base\n\nFROM scratch AS base2\n',
    found: ["2: 'as' and 'FROM' keywords' casing do not match"],
  },
  {
    rule: 'FromAsCasing',
    dockerfile: 'from scratch AS base\nfrom scratch as base2\n',
    found: ["1: 'AS' and 'from' keywords' casing do not match"],
  },
  {
    rule: 'NoEmptyContinuation',
    dockerfile: '\nFROM scratch\n# warning: empty continuation line\nCOPY Dockerfile \\\n\n.\nCOPY Dockerfile \\\n.\n',
    found: ['6: Empty continuation line'],
  },
  {
    rule: 'NoEmptyContinuation',
    dockerfile: 'FROM scratch\nCOPY <<A <<B \\\n\n  /x/\none\nA\nB\n',
    found: ['4: Empty continuation line'],
  },
  {
    rule: 'ConsistentInstructionCasing',
    dockerfile: 'FROM scratch\ncopy Dockerfile /foo\nCOPY Dockerfile /bar\n',
    found: ["2: Command 'copy' should match the case of the command majority (uppercase)"],
  },
  {
    rule: 'ConsistentInstructionCasing',
    dockerfile: 'frOM scratch as base\nfrom scratch as base2\n',
    found: ["1: Command 'frOM' should match the case of the command majority (lowercase)"],
  },
  {
    rule: 'DuplicateStageName',
    dockerfile: 'FROM scratch AS b\nFROM scratch AS b\n',
    found: ['2: Duplicate stage name "b", stage names should be unique'],
  },
  {
    rule: 'ReservedStageName',
    dockerfile: 'FROM scratch AS scratch\nFROM scratch AS context\n',
    found: [
      '1: Stage name should not use the same name as reserved stage "scratch"',
      '2: Stage name should not use the same name as reserved stage "context"',
    ],
  },
  {
    rule: 'JSONArgsRecommended',
    dockerfile: 'FROM scratch AS base\nENTRYPOINT mycommand\nFROM base\nSHELL ["/sh"]\nCMD mine\n',
    found: ['2: JSON arguments recommended for ENTRYPOINT to prevent unintended behavior related to OS signals'],
  },
  {
    rule: 'MaintainerDeprecated',
    dockerfile: 'FROM scratch\nMAINTAINER me@example.org\n',
    found: ['2: Maintainer instruction is deprecated in favor of using label'],
  },
  {
    rule: 'UndefinedArgInFrom',
    dockerfile: 'FROM --platform=$BULIDPLATFORM scratch\n',
    args: ['--build-arg', 'BULIDPLATFORM=linux/amd64'],
    found: ["1: FROM argument 'BULIDPLATFORM' is not declared (did you mean BUILDPLATFORM?)"],
  },
  {
    rule: 'UndefinedArgInFrom',
    dockerfile: `ARG tag=latest\nARG unset\nFROM busybox:\${tag}\${version}\${unset} AS b\n`,
    found: ["3: FROM argument 'version' is not declared"],
  },
  {
    rule: 'WorkdirRelativePath',
    dockerfile: 'FROM scratch AS a\nWORKDIR app/\nWORKDIR more\nFROM a\nWORKDIR sub\nFROM scratch\nWORKDIR /x\nWORKDIR y\n',
    found: ['2: Relative workdir "app/" can have unexpected results if the base image changes'],
  },
  {
    rule: 'UndefinedVar',
    dockerfile: `FROM scratch AS base\nARG foo\nCOPY Dockerfile\${foo} .\nCOPY $bar .\nENV PATH=$PAHT:/tmp/bin\nRUN echo $baz\nFROM base\nUSER $foo\n`,
    found: ["4: Usage of undefined variable '$bar'", "5: Usage of undefined variable '$PAHT' (did you mean $PATH?)"],
  },
  {
    rule: 'UndefinedVar',
    dockerfile: 'FROM scratch\nARG a=$b\nCOPY <<E /x\n$c\nE\nRUN --mount=type=cache,target=/x$d true\n',
    found: [
      "2: Usage of undefined variable '$b'",
      "3: Usage of undefined variable '$c' (did you mean $a?)",
      "6: Usage of undefined variable '$d' (did you mean $a?)",
    ],
  },
  {
    rule: 'MultipleInstructionsDisallowed',
    dockerfile:
      'FROM scratch AS a\nENTRYPOINT ["/a"]\nCMD ["/a"]\nHEALTHCHECK CMD ["/a"]\nCOPY <<E /a.txt\nx\nE\nENTRYPOINT ["/b"]\nCMD ["/b"]\nHEALTHCHECK NONE\nFROM a\nCMD ["/c"]\n',
    found: ['ENTRYPOINT', 'CMD', 'HEALTHCHECK'].map(
      (name, i) =>
        `${i + 2}: Multiple ${name} instructions should not be used in the same stage because only the last one will be used`,
    ),
  },
  {
    rule: 'LegacyKeyValueFormat',
    dockerfile: 'FROM scratch\nENV testkey value\nLABEL key value\nENV a=b\n',
    found: ['ENV', 'LABEL'].map(
      (name, i) => `${i + 2}: "${name} key=value" should be used instead of legacy "${name} key value" format`,
    ),
  },
  {
    rule: 'RedundantTargetPlatform',
    dockerfile: `FROM --platform=\${TARGETPLATFORM} scratch\nFROM --platform=$BUILDPLATFORM scratch\n`,
    found: [`1: Setting platform to predefined \${TARGETPLATFORM} in FROM is redundant as this is the default behavior`],
  },
  {
    rule: 'SecretsUsedInArgOrEnv',
    dockerfile:
      'FROM scratch\nARG SECRET_PASSPHRASE\nENV password=bar secret=baz\nARG super_duper_secret_token=foo auth=bar\nENV git_key= monkey=1 PUBLIC_KEY=2 TOKEN_FILE=3\n',
    found: [
      '2: Do not use ARG or ENV instructions for sensitive data (ARG "SECRET_PASSPHRASE")',
      '3: Do not use ARG or ENV instructions for sensitive data (ENV "password")',
      '3: Do not use ARG or ENV instructions for sensitive data (ENV "secret")',
      '4: Do not use ARG or ENV instructions for sensitive data (ARG "super_duper_secret_token")',
      '4: Do not use ARG or ENV instructions for sensitive data (ARG "auth")',
      '5: Do not use ARG or ENV instructions for sensitive data (ENV "git_key")',
    ],
  },
  {
    rule: 'InvalidDefaultArgInFrom',
    dockerfile: `ARG VERSION\nARG SUFFIX\nFROM busybox:$VERSION\nFROM busybox:stable\${SUFFIX}\n`,
    args: ['--build-arg', 'VERSION=latest'],
    found: ['3: Default value for ARG busybox:$VERSION results in empty or invalid base image name'],
  },
  {
    rule: 'FromPlatformFlagConstDisallowed',
    dockerfile: 'FROM --platform=linux/amd64 scratch\nFROM --platform=linux/amd64 scratch AS my_amd64_stage\n',
    found: ['1: FROM --platform flag should not use constant value "linux/amd64"'],
  },
  {
    rule: 'CopyIgnoredFile',
    dockerfile:
      'FROM scratch AS base\nCOPY Dockerfile .\nADD ./d/x /windy\nCOPY . /\nFROM scratch\nCOPY --from=base /Dockerfile /x\n',
    files: { '.dockerignore': 'Dockerfile\nd\n' },
    found: [
      '2: Attempting to Copy file "Dockerfile" that is excluded by .dockerignore',
      '3: Attempting to Add file "d/x" that is excluded by .dockerignore',
    ],
  },
  {
    rule: 'CopyIgnoredFile',
    dockerfile: 'FROM scratch\nCOPY . /\n',
    files: { '.dockerignore': '*\n' },
    found: ['2: Attempting to Copy file "." that is excluded by .dockerignore'],
  },
  {
    rule: 'CopyIgnoredFile',
    dockerfile: 'FROM scratch\nCOPY d/x /\n',
    files: { '.dockerignore': 'd\n!d/x\n' },
    found: [],
  },
  {
    rule: 'InvalidDefinitionDescription',
    dockerfile:
      '# check=experimental=all\n# BASE is good\nARG BASE=scratch\n# this is not\nARG OTHER=1\n\n# nor this\nFROM scratch AS base\n# apart\n\nARG third\n# neither\nARG a b\n',
    found: [
      '5: Comment for ARG should follow the format: `# OTHER <description>`',
      '8: Comment for FROM should follow the format: `# base <description>`',
      '13: Comment for ARG should follow the format: `# <arg_key> <description>`',
    ],
  },
  {
    rule: 'ExposeProtoCasing',
    dockerfile: 'FROM scratch\nEXPOSE 80/TcP 81/udp\n',
    found: ["2: Defined protocol '80/TcP' in EXPOSE instruction should be lowercase"],
  },
  {
    rule: 'ExposeInvalidFormat',
    dockerfile: 'FROM scratch\nEXPOSE 127.0.0.1:80:80 8080:81 82\n',
    found: ['127.0.0.1:80:80', '8080:81'].map(
      (port) => `2: EXPOSE instruction should not define an IP address or host-port mapping, found '${port}'`,
    ),
  },
  {
    rule: 'InvalidBaseImagePlatform',
    dockerfile: 'FROM foreign AS a\n',
    found: [
      `1: Base image foreign was pulled with platform "linux/s390x", expected "linux/${{ x64: 'amd64', arm64: 'arm64' }[process.arch as 'x64']}" for current build`,
    ],
  },
];

const wanted = '# check=experimental=tbuild\n';

/** tbuild's own, which have to be asked for. */
const ownCases: readonly Case[] = [
  {
    rule: 'CopyBeforeInstall',
    dockerfile: 'FROM scratch\nCOPY . /app\nRUN cd /app && npm ci && npm run build\nRUN pip install -r x.txt\n',
    found: [
      "3: Everything is copied before 'npm ci', which then runs again with every change: copy package.json and package-lock.json first",
      "3: Everything is copied before 'pip install -r', which then runs again with every change: copy the requirements files first",
    ],
  },
  {
    rule: 'CopyBeforeInstall',
    dockerfile:
      'FROM scratch AS a\nCOPY package.json .\nRUN npm ci\nCOPY . .\nRUN npm ci --omit=dev\nFROM scratch\nCOPY . .\nRUN --mount=type=cache,target=/root/.cargo cargo build\nRUN npm run install-all\n',
    found: [],
  },
  {
    rule: 'AptListsKept',
    dockerfile:
      'FROM scratch AS unshipped\nRUN apt-get update\nFROM scratch AS a\nRUN apt-get -y update && apt-get install -y x\nFROM a\nRUN <<E\nset -e\napt update\nE\n',
    found: ['apt-get -y update', 'apt update'].map(
      (command, i) =>
        `${5 + 2 * i}: '${command}' leaves its package lists in the image: remove /var/lib/apt/lists/* in the same RUN, or mount caches there`,
    ),
  },
  {
    rule: 'AptListsKept',
    dockerfile:
      'FROM scratch\nRUN apt-get update && apt-get install x && rm -rf /var/lib/apt/lists/*\nRUN --mount=type=cache,target=/var/lib/apt apt-get update\n',
    found: [],
  },
  {
    rule: 'MissingUser',
    dockerfile: 'FROM scratch AS a\nFROM a\n',
    found: ['3: The image runs as root: no USER in the final stage, nor in what it stands on'],
  },
  { rule: 'MissingUser', dockerfile: 'FROM scratch AS a\nUSER 1000\nFROM a\n', found: [] },
  {
    rule: 'AddInsteadOfCopy',
    dockerfile: `FROM scratch\nADD src /src\nADD a.tar.gz /\nADD --checksum=sha256:${'0'.repeat(64)} https://x.test/y /\nADD --unpack=false b /\n`,
    found: ['3: ADD of "src" does what COPY does: use COPY'],
  },
  {
    rule: 'SecretFileCopied',
    dockerfile:
      'FROM scratch AS a\nCOPY --exclude=keys . /app\nCOPY keys/* /k/\nCOPY src /src\nFROM scratch\nCOPY --from=a / /\n',
    files: {
      '.env': '',
      '.env.example': '',
      'keys/id_rsa': '',
      'keys/id_rsa.pub': '',
      'ignored/server.pem': '',
      'src/a.txt': '',
      '.dockerignore': 'ignored\n',
    },
    found: ['3: ".env"', '4: "keys/id_rsa"'].map(
      (start) => `${start} looks like a secret and is copied into the image: list it in .dockerignore, or mount it as a secret`,
    ),
  },
  {
    rule: 'HeredocIgnoresErrors',
    dockerfile:
      'FROM scratch\nRUN <<E\nfalse\ntrue\nE\nRUN <<E\nset -eu\nfalse\ntrue\nE\nRUN <<E\n# one\nfalse &&\n  true\nE\nRUN <<E\n#!/usr/bin/env python3\na\nb\nE\nSHELL ["bash", "-ec"]\nRUN <<E\nfalse\ntrue\nE\n',
    found: ["3: Only the last command of this heredoc decides whether it failed: begin it with 'set -e'"],
  },
];

let store: string;
beforeAll(async () => {
  store = freshStore();
  const layer = await layerOf('file', 'x');
  const platform = { ...amd64, architecture: 's390x' };
  const files: Files = new Map();
  setIndex(files, [named(addImage(files, [layer], configOf([layer], platform)), 'docker.io/library/foreign:latest')]);
  const archive = path.join(makeContext({}), 'foreign.tar');
  writeFileSync(archive, await archiveOf(files));
  await tbuildOk(['load', '-i', archive], { store });
});

interface LintResult {
  readonly warnings: readonly {
    readonly ruleName: string;
    readonly description: string;
    readonly url?: string;
    readonly detail: string;
    readonly location: { readonly ranges: readonly { readonly start: { readonly line: number } }[] };
  }[];
  readonly sources: readonly { readonly filename: string; readonly data: string }[];
  readonly buildError?: { readonly message: string };
}

async function check(context: string, args: readonly string[] = [], options: Options = {}) {
  const { code, stdout, stderr } = await tbuild(['build', '--call=check,format=json', ...args, context], { store, ...options });
  return { code, stderr, result: JSON.parse(stdout) as LintResult };
}

describe('each rule, with its message and its line', () => {
  it.each(cases)('$rule: $found', async ({ rule, dockerfile, found, args, files }) => {
    const { code, result } = await check(makeContext({ Dockerfile: dockerfile, ...files }), args);
    const own = result.warnings.filter(({ ruleName }) => ruleName === rule);
    const lines = own.map(({ location, detail }) => `${location.ranges[0]!.start.line}: ${detail}`);
    expect(lines.toSorted()).toEqual([...found].toSorted());
    expect(code).toBe(result.buildError ? 3 : result.warnings.length > 0 ? 1 : 0);
    const { description, url } = Object.values(rules).find(({ name }) => name === rule)!;
    for (const warning of own) expect(warning).toMatchObject({ description, ...(url !== undefined && { url }) });
  });

  it.each(ownCases)('$rule, when asked for: $found', async ({ rule, dockerfile, found, files }) => {
    const ofRule = async (text: string) => {
      const { result } = await check(makeContext({ Dockerfile: text, ...files }));
      const own = result.warnings.filter(({ ruleName }) => ruleName === rule);
      return own.map(({ location, detail }) => `${location.ranges[0]!.start.line}: ${detail}`).toSorted();
    };
    expect(await ofRule(wanted + dockerfile)).toEqual([...found].toSorted());
    expect(await ofRule(wanted.replace('tbuild', rule) + dockerfile)).toEqual([...found].toSorted());
    // BuildKit's `all` is all that BuildKit knows.
    expect(await ofRule(wanted.replace('tbuild', 'all') + dockerfile)).toEqual([]);
  });

  it('WastedBytes, when asked for: said after a build', async () => {
    const context = makeContext({
      Dockerfile: `${wanted}FROM busybox\nRUN mkdir /d && head -c 3000000 /dev/zero > /d/big && head -c 200000 /dev/zero > /old\nRUN rm -r /d\nRUN echo > /old\nRUN head -c 2000 /dev/zero > /x\nRUN rm /x\nUSER 1\n`,
    });
    const { stderr, code } = await tbuild(['build', '--progress=plain', context], { store });
    expect(code).toBe(0);
    expect(stderr).toContain(` 2 warnings found (use tbuild --debug to expand):
 - WastedBytes: 3.0MB from line 3 are deleted or replaced here, and stay in the image: do both in one RUN (line 4)
 - WastedBytes: 200kB from line 3 are deleted or replaced here, and stay in the image: do both in one RUN (line 5)
`);
  });

  test('all 22 are among them', () => {
    const named = new Set(cases.map(({ rule }) => rule));
    expect([...named].toSorted()).toEqual(
      Object.values(rules)
        .map(({ name }) => name)
        .toSorted(),
    );
    expect(named.size).toBe(22);
    const own = new Set([...ownCases.map(({ rule }) => rule), 'WastedBytes']);
    expect([...own].toSorted()).toEqual(
      Object.values(ownRules)
        .map(({ name }) => name)
        .toSorted(),
    );
  });
});

const untidy = 'FROM scratch as base\ncopy Dockerfile .\n';

describe('the check directive', () => {
  const found = async (dockerfile: string, args: readonly string[] = []) => {
    const { code, result } = await check(makeContext({ Dockerfile: dockerfile }), args);
    return { code, rules: result.warnings.map(({ ruleName }) => ruleName), error: result.buildError?.message };
  };
  const violation = 'lint violation found for rules: FromAsCasing';

  it('skips rules, all of them, and makes what is left an error', async () => {
    expect(await found(`#check=skip=all;error=true\n${untidy}`)).toEqual({ code: 0, rules: [], error: undefined });
    const skipped = '#check=skip=ConsistentInstructionCasing';
    expect(await found(`${skipped},FromAsCasing\n${untidy}`)).toEqual({ code: 0, rules: [], error: undefined });
    expect(await found(`${skipped}\n${untidy}`)).toEqual({ code: 1, rules: ['FromAsCasing'], error: undefined });
    expect(await found(`${skipped};error=true\n${untidy}`)).toEqual({ code: 3, rules: ['FromAsCasing'], error: violation });
  });

  it('is replaced by the build argument BUILDKIT_DOCKERFILE_CHECK', async () => {
    const given = (value: string) => ['--build-arg', `BUILDKIT_DOCKERFILE_CHECK=${value}`];
    expect(await found(`#check=error=true\n${untidy}`, given('skip=all'))).toEqual({ code: 0, rules: [], error: undefined });
    expect(await found(`#check=skip=all\n${untidy}`, given('skip=ConsistentInstructionCasing;error=true'))).toEqual({
      code: 3,
      rules: ['FromAsCasing'],
      error: violation,
    });
  });

  it('above an instruction counts for that one alone', async () => {
    const pair = '# check=skip=UndefinedVar\nUSER $a\nUSER $b\n';
    const context = makeContext({ Dockerfile: `FROM scratch\n${pair}\n# check=skip=UndefinedVar\n\nUSER $c\n` });
    const { result } = await check(context);
    expect(result.warnings.map(({ detail }) => detail)).toEqual(
      ['b', 'c'].map((name) => `Usage of undefined variable '$${name}'`),
    );
  });

  it('with something wrong in it is an error, with its place', async () => {
    const context = makeContext({ Dockerfile: `# escape=\\\n# check=skpi=all\n${untidy}` });
    const { code, stderr } = await tbuild(['build', '--progress=plain', context], { store });
    expect(code).toBe(3);
    expect(stderr).toContain('error: failed to parse check options: invalid check option "skpi"');
    expect(stderr).toContain('   2 | >>> # check=skpi=all');
    const given = await tbuild(['build', '--check', '--build-arg=BUILDKIT_DOCKERFILE_CHECK=error=maybe', context], { store });
    expect(given.stderr).toContain('failed to parse check option "error=maybe"');
  });

  it('makes a build fail before it begins', async () => {
    const context = makeContext({ Dockerfile: `# check=error=true\n${untidy}` });
    const { code, stderr } = await tbuild(['build', '--progress=plain', context], { store });
    expect(code).toBe(3);
    expect(stderr.replaceAll(context, 'DIR')).toBe(
      ` 2 warnings found (use tbuild --debug to expand):
 - FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 2)
 - ConsistentInstructionCasing: Command 'copy' should match the case of the command majority (uppercase) (line 3)
error: lint violation found for rules: FromAsCasing, ConsistentInstructionCasing
DIR/Dockerfile:1
--------------------
   1 | >>> # check=error=true
     |     ^^^^^^^^^^^^^^^^^^
   2 |     FROM scratch as base
   3 |     copy Dockerfile .
--------------------
`,
    );
  });
});

describe('a build', () => {
  const dockerfile = 'FROM scratch AS BuildIt\nCOPY Dockerfile /\n';
  const short = " - StageNameCasing: Stage name 'BuildIt' should be lowercase (line 1)";

  it('lists what was found at its end, with --debug in full', async () => {
    const context = makeContext({ Dockerfile: dockerfile });
    const { stderr, code } = await tbuild(['build', '--progress=plain', context], { store });
    expect(code).toBe(0);
    expect(stderr).toContain(`\n 1 warning found (use tbuild --debug to expand):\n${short}\n\nimage `);
    const full = await tbuild(['--debug', 'build', '--progress=plain', context], { store });
    expect(full.stderr.replaceAll(context, 'DIR')).toContain(`\n 1 warning found:
${short}
Stage names should be lowercase
More info: https://docs.docker.com/go/dockerfile/rule/stage-name-casing/
DIR/Dockerfile:1
--------------------
   1 | >>> FROM scratch AS BuildIt
   2 |     COPY Dockerfile /
--------------------
`);
  });

  it('tells of them as events, and keeps still with -q', async () => {
    const context = makeContext({ Dockerfile: dockerfile });
    const { stderr } = await tbuild(['build', '--progress=rawjson', context], { store });
    const events = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; warning?: object });
    expect(events.filter(({ type }) => type === 'warning').map(({ warning }) => warning)).toMatchObject([
      { rule: 'StageNameCasing', where: { range: { startLine: 1, endLine: 1 } } },
    ]);
    expect((await tbuild(['build', '-q', context], { store })).stderr).toBe('');
  });

  it('that fails to parse lists what was found before', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch AS BadName\nMAINTAINER me\nBADCMD\n' });
    const { stderr } = await tbuild(['build', '--progress=plain', context], { store });
    expect(stderr).toMatch(/2 warnings found.*StageNameCasing.*MaintainerDeprecated.*error: unknown instruction: BADCMD/s);
  });

  it('looks at the stages it needs; a check without a target at all of them', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch AS a\nUSER $x\nFROM scratch AS b\nUSER $y\n' });
    const built = await tbuild(['build', '--progress=plain', context], { store });
    expect(built.stderr).toContain(
      " 1 warning found (use tbuild --debug to expand):\n - UndefinedVar: Usage of undefined variable '$y'",
    );
    expect((await check(context)).result.warnings).toHaveLength(2);
    expect((await check(context, ['--target=a'])).result.warnings.map(({ detail }) => detail)).toEqual([
      "Usage of undefined variable '$x'",
    ]);
  });
});

describe('--check and --call', () => {
  it('print what was found, with its place, and fail', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch as base\nRUN a \\\n  b\n' });
    const { code, stdout, stderr } = await tbuild(['build', '--check', context], { store });
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    expect(stdout.replaceAll(context, 'DIR')).toBe(`Check complete, 1 warning has been found!

WARNING: FromAsCasing - https://docs.docker.com/go/dockerfile/rule/from-as-casing/
'as' and 'FROM' keywords' casing do not match
DIR/Dockerfile:1
--------------------
   1 | >>> FROM scratch as base
   2 |     RUN a \\
   3 |       b
--------------------
`);
    expect((await tbuild(['build', '--call=check,ignorestatus=true', context], { store })).code).toBe(0);
  });

  it('say so when there is nothing, and need no store, no image and no network', async () => {
    const nowhere = path.join(tmpdir(), `tbuild-no-store-${process.pid}`);
    const context = makeContext({ Dockerfile: 'FROM no/such:image\nUSER $LANGUAGE\nRUN true\n' });
    for (const args of [['--check'], ['--call=outline'], ['--call=targets'], ['--call=subrequests.describe']]) {
      const { code, stdout, stderr } = await tbuild(['build', ...args, context], { store: nowhere });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      if (args[0] === '--check') expect(stdout).toBe('Check complete, no warnings found.\n');
    }
    expect(existsSync(nowhere)).toBe(false);
  });

  it('report of variables on an image that is not here what looks misspelt', async () => {
    const { result } = await check(makeContext({ Dockerfile: 'FROM no/such:image\nENV A=$LANGUAGE PATH=$PAHT:/x\n' }));
    expect(result.warnings.map(({ detail }) => detail)).toEqual(["Usage of undefined variable '$PAHT' (did you mean $PATH?)"]);
  });

  it('end soon, however much is found', { timeout: 60_000 }, async () => {
    const count = 20_000;
    const each = (line: (i: number) => string) => Array.from({ length: count }, (_, i) => line(i)).join('\n');
    const generated = `FROM scratch\n${each((i) => `ENV NAME${i}=1`)}\n${each((i) => `USER $NAMF${i}`)}\n`;
    const { code, result } = await check(makeContext({ Dockerfile: generated }));
    expect(code).toBe(1);
    expect(result.warnings).toHaveLength(count);
    expect(result.warnings.filter(({ detail }) => detail.includes('did you mean'))).toHaveLength(100);
  });

  it('build nothing', async () => {
    const fresh = emptyStore();
    await tbuild(['build', '--check', makeContext({ Dockerfile: 'FROM scratch\nCOPY . /\n' })], { store: fresh });
    expect(readdirSync(fresh)).toEqual([]);
  });

  it('report what a build would fail with, after what was found', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch as a\nCOPY --form=b x /\n' });
    const { code, stdout, stderr } = await tbuild(['build', '--check', context], { store });
    expect(code).toBe(3);
    expect(stdout).toContain('1 warning has been found!');
    expect(stderr).toContain('unknown flag: --form (did you mean from?)');
  });

  it('refuse what they do not know', async () => {
    const said = async (call: string) => (await tbuild(['build', `--call=${call}`, '.'], { store })).stderr;
    expect(await said('chekc')).toContain('hint: did you mean --call=check?');
    expect(await said('check,format=xml')).toContain('format in --call is json or text, not "xml"');
    expect(await said('check,outline')).toContain('--call has one method, and "outline" is another');
  });

  const stages = `# BASE is what it stands on
ARG BASE=busybox
ARG UNUSED=1
FROM $BASE AS first
RUN --mount=type=secret,target=/etc/passwd,required=true --mount=type=ssh true

FROM alpine AS second
RUN --mount=type=secret,id=unused --mount=type=ssh,id=ssh2 true

FROM scratch AS third
# BAR is needed
ARG BAR
RUN --mount=type=secret,id=second\${BAR} --mount=type=cache,target=/c true

# target makes everything
FROM --platform=$BUILDPLATFORM third AS target
COPY --from=first /foo /
RUN --mount=type=ssh,id=ssh3,required true

FROM second
`;

  it('outline: what a target can be given', async () => {
    const context = makeContext({ Dockerfile: stages });
    const args = ['build', '--build-arg=BAR=678', '--target=target', context];
    expect(await tbuildOk([...args, '--call=outline'], { store })).toBe(`TARGET:      target
DESCRIPTION: makes everything

BUILD ARG   VALUE     DESCRIPTION
BASE        busybox   is what it stands on
BAR         678       is needed

SECRET      REQUIRED
passwd      true
second678

SSH       REQUIRED
default
ssh3      true

CACHE
/c

`);
    const at = (line: number) => ({ ranges: [{ start: { line }, end: { line } }] });
    expect(JSON.parse(await tbuildOk([...args, '--call=outline,format=json'], { store }))).toEqual({
      name: 'target',
      description: 'makes everything',
      args: [
        { name: 'BASE', description: 'is what it stands on', value: 'busybox', location: at(2) },
        { name: 'BAR', description: 'is needed', value: '678', location: at(12) },
      ],
      secrets: [
        { name: 'passwd', required: true, location: at(5) },
        { name: 'second678', location: at(13) },
      ],
      ssh: [
        { name: 'default', location: at(5) },
        { name: 'ssh3', required: true, location: at(18) },
      ],
      cache: [{ ID: '/c', location: at(13) }],
      sources: [Buffer.from(stages).toString('base64')],
    });
  });

  it('targets: the stages, and which is the default', async () => {
    const context = makeContext({ Dockerfile: stages });
    expect(await tbuildOk(['build', '--call=targets', context], { store })).toBe(
      ['TARGET    DESCRIPTION', 'first', 'second', 'third', 'target    makes everything', '(default)', ''].join('\n'),
    );
    const { targets } = JSON.parse(await tbuildOk(['build', '--call=targets,format=json', context], { store }));
    expect(targets[3]).toMatchObject({
      name: 'target',
      description: 'makes everything',
      base: 'third',
      platform: '$BUILDPLATFORM',
    });
    expect(targets[4]).toMatchObject({ default: true, base: 'second' });
    expect(targets[4]).not.toHaveProperty('name');
  });

  it('subrequests.describe: what can be asked', async () => {
    const described = await tbuildOk(['build', '--call=subrequests.describe', '.'], { store });
    expect(described).toContain('targets              1.0.0   List all targets current build supports\n');
  });
});
