// `tbuild builds`: the builds there were, as `docker buildx history` lists them.

import { TbuildError } from '../../base/errors.ts';
import { defineCommand } from '../command.ts';
import { defineGroup } from '../command-group.ts';
import type { ListedBuild } from '../library/library.ts';
import { alignColumns, formatTable } from '../lists/table.ts';
import { describeSteps, jsonStep } from '../step-text.ts';
import { formatAge, formatSeconds } from '../units.ts';

const format = {
  value: 'string',
  choices: ['table', 'json'],
  default: 'table',
  help: 'Format of the output: "table", or "json", one object a line',
} as const;

const ls = defineCommand({
  name: 'builds ls',
  usage: '[OPTIONS]',
  description: 'List builds, the newest first',
  positionals: [0, 0],
  flags: { format, quiet: { short: 'q', help: 'Only show build IDs' } },
  run: async ({ flags, library, stdout }) => {
    const builds = await library.listBuilds();
    const nowMs = Date.now();
    if (flags.quiet) stdout.write(builds.map(({ id }) => `${id}\n`).join(''));
    else if (flags.format === 'json') stdout.write(builds.map((build) => `${JSON.stringify(jsonBuild(build))}\n`).join(''));
    else {
      const rows = builds.map((build) => [
        build.id,
        build.names[0] ?? build.context,
        build.shownStatus,
        formatAge(new Date(build.started).toISOString(), nowMs),
        durationOf(build, nowMs),
        countOf(build),
      ]);
      stdout.write(formatTable(['BUILD ID', 'NAME', 'STATUS', 'CREATED', 'DURATION', 'EXECUTED'], rows));
    }
    return 0;
  },
});

const inspect = defineCommand({
  name: 'builds inspect',
  usage: '[OPTIONS] [BUILD]',
  description: 'Show a build: the last one, where none is named',
  positionals: [0, 1],
  flags: { format },
  run: async ({ flags, positionals: [id], library, stdout }) => {
    const { build, steps } = await library.describeBuild(id);
    if (flags.format === 'json') {
      stdout.write(`${JSON.stringify({ ...jsonBuild(build), steps: steps.map((step) => jsonStep(step, false)) })}\n`);
      return 0;
    }
    const rows = [
      ['Build', build.id],
      ['Status', build.shownStatus],
      ['Names', build.names.join(', ')],
      ['Context', build.context],
      ['Dockerfile', build.dockerfile],
      ['Flags', build.flags.map(withoutSecret).join(' ')],
      ['Started', new Date(build.started).toISOString()],
      ['Duration', durationOf(build, Date.now())],
      ['Image', build.image ?? ''],
      ['Error', build.error ?? ''],
    ].filter(([, text]) => text !== '');
    stdout.write(`${alignColumns(rows, { padding: 3 })}\n${describeSteps(steps, { all: false, isOne: false })}`);
    return 0;
  },
});

const logs = defineCommand({
  name: 'builds logs',
  usage: '[BUILD]',
  description: 'Print the log of a build: of the last one, where none is named',
  positionals: [0, 1],
  flags: {},
  run: async ({ positionals: [id], library, stdout }) => {
    stdout.write(await library.buildLog(id));
    return 0;
  },
});

const rm = defineCommand({
  name: 'builds rm',
  usage: '[OPTIONS] BUILD [BUILD...]',
  description: 'Remove records and logs of builds. What they made stays',
  positionals: [0, Number.POSITIVE_INFINITY],
  flags: { all: { help: 'Remove those of all builds that are over' } },
  run: async ({ flags, positionals, library, stdout }) => {
    if (flags.all === positionals.length > 0) {
      throw new TbuildError('usage/arguments', flags.all ? '--all goes without builds' : 'no build is named', {
        hint: 'name builds by their IDs, or give --all',
      });
    }
    const removed = await library.removeBuilds(flags.all ? undefined : positionals);
    stdout.write(removed.map((id) => `${id}\n`).join(''));
    return 0;
  },
});

export const builds = defineGroup('builds', 'The builds there were', {
  ls: { summary: 'List builds', command: ls },
  inspect: { summary: 'Show a build and its steps', command: inspect },
  logs: { summary: "Print a build's log", command: logs },
  rm: { summary: 'Remove records and logs', command: rm },
});

function durationOf({ started, ended, shownStatus }: ListedBuild, nowMs: number): string {
  if (ended === undefined && shownStatus !== 'running') return '';
  return formatSeconds((ended ?? nowMs) - started);
}

/** Of the steps that are no sources, how many were executed. */
function countOf({ steps }: ListedBuild): string {
  const own = steps.filter(({ how }) => how !== 'source');
  return `${own.filter(({ how }) => how === 'executed' || how === 'failed').length}/${own.length}`;
}

/** A build argument may be one, whatever it should be. */
function withoutSecret(flag: string): string {
  return flag.replace(/^(--build-arg=[^=]*(?:auth|credential|key|passw|pword|secret|token)[^=]*=).*/is, '$1…');
}

function jsonBuild(build: ListedBuild) {
  const { id, context, dockerfile, names, flags, image, error, log } = build;
  return {
    id,
    status: build.shownStatus,
    names,
    context,
    dockerfile,
    flags: flags.map(withoutSecret),
    started: new Date(build.started).toISOString(),
    ...(build.ended !== undefined && { ended: new Date(build.ended).toISOString(), durationMs: build.ended - build.started }),
    image,
    error,
    log,
  };
}
