// `--call` and `--check`: what can be said of a build without building it, as text or as the JSON of BuildKit's subrequests
// (buildx: commands/build.go, printResult; BuildKit: frontend/subrequests). On standard output.

import { exitCodeOf } from '../base/error-object.ts';
import type { Location } from '../base/errors.ts';
import { TbuildError } from '../base/errors.ts';
import type { CheckResult, InspectOptions, OutlineResult, TargetsResult } from '../build/inspect.ts';
import type { Warning } from '../dockerfile/warning.ts';
import { excerptLines } from './excerpt.ts';
import { alignColumns } from './lists/table.ts';
import { nearest } from './nearest.ts';
import { reportError } from './report-error.ts';
import type { Surroundings } from './surroundings.ts';
import { oneLine } from './text.ts';

const methods = ['build', 'check', 'lint', 'outline', 'targets', 'subrequests.describe'] as const;

export interface Call {
  /** `lint` is what `check` was called first. */
  readonly method: 'build' | 'check' | 'outline' | 'targets' | 'subrequests.describe';
  readonly isJson: boolean;
  /** Warnings do not make the command fail. */
  readonly ignoresStatus: boolean;
}

/** `check`, `check,format=json`, `outline,format=json` … */
export function parseCall(text: string): Call {
  let call: Call = { method: 'build', isJson: false, ignoresStatus: false };
  for (const [i, field] of text.split(',').entries()) {
    const equals = field.indexOf('=');
    const [key, value] = equals < 0 ? [field, undefined] : [field.slice(0, equals), field.slice(equals + 1)];
    if (value === undefined) {
      if (i > 0) throw wrong(`--call has one method, and "${key}" is another`);
      call = { ...call, method: readMethod(key) };
    } else if (key === 'format') call = { ...call, isJson: readFormat(value) };
    else if (key === 'ignorestatus') call = { ...call, ignoresStatus: readBoolean(value) };
    else throw wrong(`--call does not know "${key}": it knows format and ignorestatus`);
  }
  return call;
}

function readMethod(name: string): Call['method'] {
  const method = methods.find((known) => known === name);
  if (method === undefined) {
    const meant = nearest(name, methods);
    const hint = meant && `did you mean --call=${meant}?`;
    throw wrong(`--call does not take "${name}": it is one of ${methods.join(', ')}`, hint);
  }
  return method === 'lint' ? 'check' : method;
}

function readFormat(value: string): boolean {
  if (value !== 'json' && value !== 'text') throw wrong(`format in --call is json or text, not "${value}"`);
  return value === 'json';
}

function readBoolean(value: string): boolean {
  if (!['true', 'false', '1', '0'].includes(value)) throw wrong(`ignorestatus in --call is true or false, not "${value}"`);
  return value === 'true' || value === '1';
}

const wrong = (message: string, hint?: string) => new TbuildError('usage/bad-value', message, { hint });

type CallSurroundings = Pick<Surroundings, 'stdout' | 'stderr' | 'env' | 'library'> & { readonly isDebug: boolean };

/** Resolves to the exit code. */
export async function runCall(call: Call, options: InspectOptions, surroundings: CallSurroundings): Promise<number> {
  const { stdout, library } = surroundings;
  const print = (text: () => string, json: () => unknown) =>
    stdout.write(call.isJson ? `${JSON.stringify(json(), undefined, 2)}\n` : text());
  switch (call.method) {
    case 'check': {
      const result = await library.checkBuild(options);
      print(
        () => checkText(result),
        () => checkJson(result),
      );
      if (result.error !== undefined) {
        reportError(result.error, surroundings);
        return exitCodeOf(result.error);
      }
      return result.warnings.length > 0 && !call.ignoresStatus ? 1 : 0;
    }
    case 'outline': {
      const result = await library.outlineBuild(options);
      print(
        () => outlineText(result),
        () => outlineJson(result),
      );
      return 0;
    }
    case 'targets': {
      const result = await library.listTargets(options);
      print(
        () => targetsText(result),
        () => targetsJson(result),
      );
      return 0;
    }
    default:
      print(describeText, () => subrequests);
      return 0;
  }
}

function checkText({ warnings, error }: CheckResult): string {
  const count = warnings.length === 1 ? '1 warning has been found!' : `${warnings.length} warnings have been found!`;
  if (warnings.length === 0) return error === undefined ? 'Check complete, no warnings found.\n' : '';
  const inOrder = warnings.toSorted((a, b) => a.where.range.startLine - b.where.range.startLine);
  return `Check complete, ${count}\n${inOrder.map(warningText).join('')}`;
}

function warningText({ rule, url, message, where }: Warning): string {
  const heading = `WARNING: ${rule}${url === undefined ? '' : ` - ${url}`}`;
  return ['', heading, oneLine(message), ...excerptLines(where, undefined, false), ''].join('\n');
}

function checkJson({ warnings, source, error }: CheckResult): unknown {
  return {
    warnings: warnings.map(({ rule, description, url, message, where }) => {
      return { ruleName: rule, description, url, detail: message, location: locationJson(where) };
    }),
    sources: [{ filename: source.name, data: source.bytes.toString('base64'), language: 'Dockerfile' }],
    ...(error instanceof Error && { buildError: errorJson(error) }),
  };
}

function errorJson(error: Error): unknown {
  const where = error instanceof TbuildError ? error.where : undefined;
  return { message: error.message, location: where === undefined ? {} : locationJson(where) };
}

/** A range for each line, as BuildKit has it; what is zero is left out. A heredoc may have any number of lines. */
function locationJson({ range }: Location): unknown {
  const count = range.endLine - range.startLine + 1;
  if (count > 1000) return { ranges: [{ start: { line: range.startLine }, end: { line: range.endLine } }] };
  return { ranges: Array.from({ length: count }, (_, i) => lineJson(range.startLine + i)) };
}

const lineJson = (line: number) => ({ start: { line }, end: { line } });

function outlineText({ name, description, args, secrets, ssh, caches }: OutlineResult): string {
  const head = [['TARGET:', name ?? '(default)'], ...(description === undefined ? [] : [['DESCRIPTION:', description]])];
  const mounts = (list: OutlineResult['secrets']) => list.map(({ id, required }) => [id, required ? 'true' : '']);
  const tables = [
    name === undefined && description === undefined ? '' : alignColumns(head, { padding: 1 }),
    table(
      ['BUILD ARG', 'VALUE', 'DESCRIPTION'],
      args.map((arg) => [arg.name, arg.value, arg.description ?? '']),
    ),
    table(['SECRET', 'REQUIRED'], mounts(secrets)),
    table(['SSH', 'REQUIRED'], mounts(ssh)),
    table(
      ['CACHE'],
      caches.map(({ id }) => [id]),
    ),
  ];
  return tables
    .filter((text) => text !== '')
    .map((text) => `${text}\n`)
    .join('');
}

function outlineJson({ name, description, args, secrets, ssh, caches, source }: OutlineResult): unknown {
  const mount = ({ id, required, where }: OutlineResult['secrets'][number]) => {
    return { name: id, required: required || undefined, location: locationJson(where) };
  };
  return {
    name,
    description,
    args: listed(args, (arg) => ({
      name: arg.name,
      description: arg.description,
      value: arg.value || undefined,
      location: locationJson(arg.where),
    })),
    secrets: listed(secrets, mount),
    ssh: listed(ssh, mount),
    cache: listed(caches, ({ id, where }) => ({ ID: id, location: locationJson(where) })),
    sources: [source.bytes.toString('base64')],
  };
}

/** An empty list is left out. */
function listed<T>(list: readonly T[], describe: (one: T) => unknown): unknown {
  return list.length === 0 ? undefined : list.map(describe);
}

function targetsText({ targets }: TargetsResult): string {
  const rows = targets.map(({ name = '', description = '', isDefault }) => {
    return [isDefault ? `${name} (default)`.trim() : name, description];
  });
  return alignColumns([['TARGET', 'DESCRIPTION'], ...rows], { padding: 1 });
}

function targetsJson({ targets, source }: TargetsResult): unknown {
  return {
    targets: targets.map(({ name, isDefault, description, base, platform, where }) => {
      return { name, default: isDefault || undefined, description, base, platform, location: locationJson(where) };
    }),
    sources: [source.bytes.toString('base64')],
  };
}

const results = [
  { name: 'result.json', description: '' },
  { name: 'result.txt', description: '' },
];

function subrequest(name: string, description: string, opts: unknown[] = [], metadata = results) {
  return { name: `frontend.${name}`, version: '1.0.0', type: 'rpc', description, opts, inputs: null, metadata, refs: null };
}

const subrequests = [
  subrequest('outline', 'List all parameters current build target supports', [
    { name: 'target', description: 'Target build stage' },
  ]),
  subrequest('targets', 'List all targets current build supports'),
  subrequest('lint', 'Lint a Dockerfile', [], [...results, { name: 'result.statuscode', description: '' }]),
  subrequest('subrequests.describe', 'List available subrequest types'),
];

function describeText(): string {
  const rows = subrequests.map(({ name, version, description }) => [name.replace(/^frontend\./, ''), version, description]);
  return alignColumns([['NAME', 'VERSION', 'DESCRIPTION'], ...rows], { padding: 1 });
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  return rows.length === 0 ? '' : alignColumns([header, ...rows], { padding: 3 });
}
