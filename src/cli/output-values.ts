// `--output`, read as buildx reads it (util/buildflags/export.go). Loaded only when it is given.

import { realpathSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { TbuildError } from '../base/errors.ts';
import type { BuildOutput } from '../build/export.ts';
import { pushing } from './docker-flags.ts';
import { checkKeys, parseKeyValues } from './key-values.ts';
import { nearest } from './nearest.ts';

interface OutputFlags {
  readonly output: readonly string[];
  readonly quiet: boolean;
  readonly iidfile: string | undefined;
  readonly allow: readonly string[];
}

/** What all `--output` of a command line say. Throws where they get in each other's way, or would delete what nobody meant. */
export function readOutputs(flags: OutputFlags, isStdoutTerminal: boolean): BuildOutput[] {
  const outputs = flags.output.filter((text) => text !== '').map((text) => parseOutput(text, isStdoutTerminal));
  const toStdout = outputs.filter((output) => 'destination' in output && output.destination === '-').length;
  if (toStdout > 1 || (toStdout === 1 && flags.quiet)) {
    throw new TbuildError(
      'usage/conflict',
      'only one thing can be written to standard output: an --output, or the image ID of --quiet',
    );
  }
  if (flags.iidfile !== undefined && outputs.some(({ type }) => type === 'local' || type === 'tar'))
    throw new TbuildError('usage/conflict', 'local and tar exporters are incompatible with image ID file');
  if (!flags.allow.includes('buildx.local.delete')) outputs.forEach(checkDeletion);
  return outputs;
}

/** buildx 0.35: without being allowed more, only below the working directory. */
function checkDeletion(output: BuildOutput): void {
  if (output.type !== 'local' || output.mode !== 'delete') return;
  const inside = relative(realpathSync('.'), realPath(resolve(output.destination)));
  if (inside !== '' && inside !== '..' && !inside.startsWith('../')) return;
  throw new TbuildError(
    'usage/not-allowed',
    `mode=delete would delete in ${output.destination}, which is not below the working directory`,
    {
      hint: 'allow it, if that is what you mean: --allow buildx.local.delete',
    },
  );
}

/** Of what may not be there yet. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path === '/' ? path : join(realPath(dirname(path)), basename(path));
  }
}

const keys = {
  local: ['dest', 'mode', 'platform-split'],
  tar: ['dest', 'platform-split'],
  oci: ['dest', 'name', 'tar'],
  docker: ['dest', 'name', 'tar'],
  image: ['name', 'push'],
  registry: [],
  cacheonly: [],
} as const;

type Type = keyof typeof keys;

export function parseOutput(text: string, isStdoutTerminal: boolean): BuildOutput {
  const values = outputValues(text);
  const type = outputType(values.get('type'), text);
  if (type === 'registry') throw pushing();
  checkKeys('--output', values, ['type', ...keys[type]]);
  const destination = values.get('dest') ?? '';
  if (type === 'local') return localOutput(values, destination);
  if (type === 'image' || type === 'cacheonly') {
    if (boolean(values, 'push')) throw pushing();
    return { type };
  }
  const split = boolean(values, 'platform-split');
  if (type === 'tar') {
    return {
      type,
      destination: fileOrStdout(type, destination, isStdoutTerminal),
      ...(split !== undefined && { platformSplit: split }),
    };
  }
  const name = values.get('name');
  const tar = boolean(values, 'tar') ?? true;
  if (!tar && type === 'docker')
    throw new TbuildError('usage/bad-value', '--output type=docker is always an archive: tar=false goes with type=oci');
  if (!tar && (destination === '' || destination === '-'))
    throw new TbuildError('usage/bad-value', '--output with tar=false needs a directory: dest=DIR');
  // Without a destination docker's own store is meant, which is ours.
  if (type === 'docker' && destination === '') return { type: 'image' };
  const file = tar ? fileOrStdout(type, destination, isStdoutTerminal) : destination;
  return { type, destination: file, tar, ...(name !== undefined && { name }) };
}

/** One word alone is a directory, or `-` for a tar to standard output; it may hold a `=`. */
function outputValues(text: string): ReadonlyMap<string, string> {
  const isOneWord = !/[,"]/.test(text) && !text.startsWith('type=');
  if (!isOneWord) return parseKeyValues('--output', text);
  return new Map([
    ['type', text === '-' ? 'tar' : 'local'],
    ['dest', text],
  ]);
}

function outputType(type: string | undefined, text: string): Type {
  if (!type)
    throw new TbuildError('usage/bad-value', `--output needs a type: "${text}"`, { hint: 'as in type=oci,dest=app.tar' });
  if (Object.hasOwn(keys, type)) return type as Type;
  const meant = nearest(type, Object.keys(keys));
  throw new TbuildError('usage/bad-value', `--output has no type "${type}"`, {
    hint: meant ? `did you mean type=${meant}?` : `it has ${Object.keys(keys).join(', ')}`,
  });
}

function localOutput(values: ReadonlyMap<string, string>, destination: string): BuildOutput {
  if (destination === '') throw new TbuildError('usage/bad-value', 'dest is required for local exporter');
  if (destination === '-')
    throw new TbuildError('usage/bad-value', 'dest cannot be stdout for local exporter', {
      hint: 'type=tar,dest=- writes a tar there',
    });
  const mode = values.get('mode') ?? 'copy';
  if (mode !== 'copy' && mode !== 'delete')
    throw new TbuildError('usage/bad-value', `mode in --output is copy or delete, not "${mode}"`);
  const split = boolean(values, 'platform-split');
  return { type: 'local', destination, mode, ...(split !== undefined && { platformSplit: split }) };
}

function fileOrStdout(type: string, destination: string, isStdoutTerminal: boolean): string {
  if (destination !== '' && destination !== '-') return destination;
  if (isStdoutTerminal) {
    throw new TbuildError('usage/terminal', 'an archive is not written to a terminal', {
      hint: `name a file: --output type=${type},dest=FILE; or redirect standard output`,
    });
  }
  return '-';
}

function boolean(values: ReadonlyMap<string, string>, key: string): boolean | undefined {
  const text = values.get(key);
  if (text === undefined) return undefined;
  if (/^(?:1|t|T|true|TRUE|True)$/.test(text)) return true;
  if (/^(?:0|f|F|false|FALSE|False)$/.test(text)) return false;
  throw new TbuildError('usage/bad-value', `${key} in --output is true or false, not "${text}"`);
}
