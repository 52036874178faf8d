// `tbuild lock`: Dockerfile.lock beside a Dockerfile, or brought up to date. What has changed in it goes to standard output.

import { TbuildError } from '../../base/errors.ts';
import type { Change } from '../../build/lock/changes.ts';
import type { Lock } from '../../build/lock/document.ts';
import { defineCommand } from '../command.ts';
import { interruptible } from '../interruption.ts';
import { alignColumns } from '../lists/table.ts';
import { oneLine } from '../text.ts';
import { parseBuildArgs, parseBuildContexts, parsePlatforms, parseSecret } from '../values/build.ts';

export const lock = defineCommand({
  name: 'lock',
  usage: '[OPTIONS] [--update [NAME...]] PATH',
  description: 'Write down what the images, URLs and repositories that a Dockerfile names stand for now, for builds to go by',
  positionals: [1, Number.POSITIVE_INFINITY],
  flags: {
    'build-arg': { value: 'stringArray', repeated: true, help: 'Set build-time variables' },
    'build-context': { value: 'stringArray', repeated: true, help: 'Additional build contexts (e.g., name=path)' },
    file: { short: 'f', value: 'string', help: 'Name of the Dockerfile (default: "PATH/Dockerfile")' },
    platform: { value: 'stringArray', repeated: true, help: "Platforms to lock for (default: this machine's)" },
    quiet: { short: 'q', help: 'Do not say what has changed' },
    secret: {
      value: 'stringArray',
      repeated: true,
      help: 'Secret for who is asked (format: "id=mysecret[,src=/local/secret|,env=NAME]")',
    },
    ssh: {
      value: 'stringArray',
      repeated: true,
      help: 'SSH agent socket or keys for git (format: "default[=<socket>|<key>[,<key>]]")',
    },
    target: { value: 'string', help: 'Lock what this stage needs (default: all stages)' },
    update: { help: 'Ask anew for what is locked: everything, or the names given' },
  },
  examples: [
    ['tbuild lock .', 'adds what is missing to ./Dockerfile.lock, or makes it'],
    ['tbuild lock --update debian:12 .', 'takes the debian:12 of today'],
    ['tbuild build --frozen .', 'builds from nothing that is not locked'],
  ],
  run: async ({ flags, positionals, env, library, stdout }) => {
    const context = positionals.at(-1) as string;
    const names = positionals.slice(0, -1);
    if (names.length > 0 && !flags.update) {
      throw new TbuildError('usage/arguments', `tbuild lock takes one context, not ${positionals.length}`, {
        hint: 'names stand behind --update',
      });
    }
    const platforms = parsePlatforms(flags.platform, env);
    const ssh = flags.ssh.length > 0 ? flags.ssh.map((await import('../values/build-run.ts')).parseSsh) : [];
    const result = await interruptible((signal) =>
      library.lockBuild({
        context,
        buildArgs: parseBuildArgs(flags['build-arg'], env),
        secrets: flags.secret.map((text) => parseSecret(text, env)),
        ssh,
        signal,
        ...(flags['build-context'].length > 0 && { buildContexts: parseBuildContexts(flags['build-context']) }),
        ...(flags.file !== undefined && { dockerfile: flags.file }),
        ...(flags.target !== undefined && { target: flags.target }),
        ...(platforms.length > 0 && { platforms }),
        ...(flags.update && { update: names }),
      }),
    );
    if (!flags.quiet) stdout.write(`${showChanges(result.changes)}${oneLine(result.path)}: ${summary(result.lock)}\n`);
    return 0;
  },
});

function showChanges(changes: readonly Change[]): string {
  const rows = changes.map(({ name, from, to }) => [
    oneLine(name),
    [from, to].map((id) => (id === undefined ? '(none)' : short(id))).join(' → '),
  ]);
  return rows.length === 0 ? '' : `${alignColumns(rows, { padding: 2 })}`;
}

/** As much of a digest or a commit as tells it from others. */
const short = (id: string): string => id.replace(/^(sha256:)?([0-9a-f]{12}).*/, '$1$2');

function summary({ images, urls, git }: Lock): string {
  const count = (size: number, noun: string, plural: string) => (size === 0 ? [] : [`${size} ${size === 1 ? noun : plural}`]);
  const counts = [
    ...count(images.size, 'image', 'images'),
    ...count(urls.size, 'URL', 'URLs'),
    ...count(git.size, 'repository', 'repositories'),
  ];
  return counts.length === 0 ? 'there is nothing to lock' : counts.join(', ');
}
