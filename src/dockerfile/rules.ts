// The build checks as data: what each is called, what it is about, and what it says. Names, descriptions, pages and messages of the first
// part are BuildKit's (frontend/dockerfile/linter/ruleset.go); the second part is tbuild's own. docs/checks.md says when each speaks.

import { quote } from './go-text.ts';

/** `Facts`: what the message is made of. */
export interface Rule<Facts extends readonly string[] = readonly string[]> {
  readonly name: string;
  readonly description: string;
  readonly url: string | undefined;
  /** It speaks only where `experimental=` names it. */
  readonly isOptIn: boolean;
  readonly message: (...facts: Facts) => string;
}

function rule<Facts extends readonly string[]>(
  name: string,
  description: string,
  message: (...facts: Facts) => string,
  { isOptIn = false, hasPage = true } = {},
): Rule<Facts> {
  const page = name.replace(/(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/g, '-').toLowerCase();
  const url = hasPage ? `https://docs.docker.com/go/dockerfile/rule/${page}/` : undefined;
  return { name, description, url, isOptIn, message };
}

export const rules = {
  stageNameCasing: rule(
    'StageNameCasing',
    'Stage names should be lowercase',
    (stage: string) => `Stage name '${stage}' should be lowercase`,
  ),
  fromAsCasing: rule(
    'FromAsCasing',
    "The 'as' keyword should match the case of the 'from' keyword",
    (from: string, as: string) => `'${as}' and '${from}' keywords' casing do not match`,
  ),
  noEmptyContinuation: rule(
    'NoEmptyContinuation',
    'Empty continuation lines will become errors in a future release',
    () => 'Empty continuation line',
  ),
  consistentInstructionCasing: rule(
    'ConsistentInstructionCasing',
    'All commands within the Dockerfile should use the same casing (either upper or lower)',
    (keyword: string, casing: string) => `Command '${keyword}' should match the case of the command majority (${casing})`,
  ),
  duplicateStageName: rule(
    'DuplicateStageName',
    'Stage names should be unique',
    (stage: string) => `Duplicate stage name ${quote(stage)}, stage names should be unique`,
  ),
  reservedStageName: rule(
    'ReservedStageName',
    'Reserved words should not be used as stage names',
    (stage: string) => `Stage name should not use the same name as reserved stage ${quote(stage)}`,
  ),
  jsonArgsRecommended: rule(
    'JSONArgsRecommended',
    'JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals',
    (keyword: string) => `JSON arguments recommended for ${keyword} to prevent unintended behavior related to OS signals`,
  ),
  maintainerDeprecated: rule(
    'MaintainerDeprecated',
    'The MAINTAINER instruction is deprecated, use a label instead to define an image author',
    () => 'Maintainer instruction is deprecated in favor of using label',
  ),
  undefinedArgInFrom: rule(
    'UndefinedArgInFrom',
    'FROM command must use declared ARGs',
    (name: string, meant: string) => `FROM argument '${name}' is not declared${meant === '' ? '' : ` (did you mean ${meant}?)`}`,
  ),
  workdirRelativePath: rule(
    'WorkdirRelativePath',
    'Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes',
    (path: string) => `Relative workdir ${quote(path)} can have unexpected results if the base image changes`,
  ),
  undefinedVar: rule(
    'UndefinedVar',
    'Variables should be defined before their use',
    (name: string, meant: string) => `Usage of undefined variable '$${name}'${meant === '' ? '' : ` (did you mean $${meant}?)`}`,
  ),
  multipleInstructionsDisallowed: rule(
    'MultipleInstructionsDisallowed',
    'Multiple instructions of the same type should not be used in the same stage',
    (keyword: string) =>
      `Multiple ${keyword} instructions should not be used in the same stage because only the last one will be used`,
  ),
  legacyKeyValueFormat: rule(
    'LegacyKeyValueFormat',
    'Legacy key/value format with whitespace separator should not be used',
    (keyword: string) => `"${keyword} key=value" should be used instead of legacy "${keyword} key value" format`,
  ),
  invalidBaseImagePlatform: rule(
    'InvalidBaseImagePlatform',
    'Base image platform does not match expected target platform',
    (image: string, expected: string, actual: string) =>
      `Base image ${image} was pulled with platform ${quote(actual)}, expected ${quote(expected)} for current build`,
    { hasPage: false },
  ),
  redundantTargetPlatform: rule(
    'RedundantTargetPlatform',
    'Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior',
    (written: string) => `Setting platform to predefined ${written} in FROM is redundant as this is the default behavior`,
  ),
  secretsUsedInArgOrEnv: rule(
    'SecretsUsedInArgOrEnv',
    'Sensitive data should not be used in the ARG or ENV commands',
    (keyword: string, name: string) => `Do not use ARG or ENV instructions for sensitive data (${keyword} ${quote(name)})`,
  ),
  invalidDefaultArgInFrom: rule(
    'InvalidDefaultArgInFrom',
    'Default value for global ARG results in an empty or invalid base image name',
    (written: string) => `Default value for ARG ${written} results in empty or invalid base image name`,
  ),
  fromPlatformFlagConstDisallowed: rule(
    'FromPlatformFlagConstDisallowed',
    'FROM --platform flag should not use a constant value',
    (platform: string) => `FROM --platform flag should not use constant value ${quote(platform)}`,
  ),
  copyIgnoredFile: rule(
    'CopyIgnoredFile',
    'Attempting to Copy file that is excluded by .dockerignore',
    (verb: string, path: string) => `Attempting to ${verb} file ${quote(path)} that is excluded by .dockerignore`,
  ),
  invalidDefinitionDescription: rule(
    'InvalidDefinitionDescription',
    'Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.',
    (keyword: string, name: string) => `Comment for ${keyword} should follow the format: \`# ${name} <description>\``,
    { isOptIn: true },
  ),
  exposeProtoCasing: rule(
    'ExposeProtoCasing',
    'Protocol in EXPOSE instruction should be lowercase',
    (port: string) => `Defined protocol '${port}' in EXPOSE instruction should be lowercase`,
  ),
  exposeInvalidFormat: rule(
    'ExposeInvalidFormat',
    'IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release',
    (port: string) => `EXPOSE instruction should not define an IP address or host-port mapping, found '${port}'`,
  ),
};

const own = { isOptIn: true, hasPage: false };

/** No other tool warns of these: `experimental=tbuild` asks for all of them. */
export const ownRules = {
  copyBeforeInstall: rule(
    'CopyBeforeInstall',
    'Copying everything before dependencies are installed installs them again with every change',
    (install: string, files: string) =>
      `Everything is copied before '${install}', which then runs again with every change: copy ${files} first`,
    own,
  ),
  aptListsKept: rule(
    'AptListsKept',
    "The package lists that 'apt-get update' downloads should not stay in the image",
    (command: string) =>
      `'${command}' leaves its package lists in the image: remove /var/lib/apt/lists/* in the same RUN, or mount caches there`,
    own,
  ),
  missingUser: rule(
    'MissingUser',
    'The final stage should say which user its image runs as',
    () => 'The image runs as root: no USER in the final stage, nor in what it stands on',
    own,
  ),
  addInsteadOfCopy: rule(
    'AddInsteadOfCopy',
    'ADD does more than COPY: files that are merely copied should be copied by COPY',
    (path: string) => `ADD of ${quote(path)} does what COPY does: use COPY`,
    own,
  ),
  secretFileCopied: rule(
    'SecretFileCopied',
    'Files that hold secrets should not be copied into an image',
    (path: string) =>
      `${quote(path)} looks like a secret and is copied into the image: list it in .dockerignore, or mount it as a secret`,
    own,
  ),
  heredocIgnoresErrors: rule(
    'HeredocIgnoresErrors',
    "A heredoc RUN goes on after a command that fails, unless it begins with 'set -e'",
    () => "Only the last command of this heredoc decides whether it failed: begin it with 'set -e'",
    own,
  ),
  wastedBytes: rule(
    'WastedBytes',
    'What a later layer deletes or replaces stays in the image',
    (size: string, line: string) =>
      `${size} from line ${line} are deleted or replaced here, and stay in the image: do both in one RUN`,
    own,
  ),
};

export const allRules: readonly Rule<never>[] = [...Object.values(rules), ...Object.values(ownRules)];
