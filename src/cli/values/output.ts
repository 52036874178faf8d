// `--output` and `--annotation`, read as buildx reads it (util/buildflags/export.go). Loaded only when it is given.

import { realpathSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { TbuildError } from '../../base/errors.ts';
import type { BuildOutput } from '../../build/outputs/export.ts';
import type { Annotation, ImageForm } from '../../build/outputs/image.ts';
import { parseAnnotation, parseAnnotationKey } from '../annotations.ts';
import { nearest } from '../nearest.ts';
import { imageKeys, imageValues, pushValue, readBoolean, type Values } from './image-output.ts';
import { checkKeys, parseKeyValues } from './key.ts';

interface OutputFlags {
  readonly output: readonly string[];
  readonly annotation: readonly string[];
  readonly push: boolean;
  readonly load: boolean;
  readonly quiet: boolean;
  readonly iidfile: string | undefined;
  readonly allow: readonly string[];
}

/** What all `--output` of a command line say. Throws where they get in each other's way, or would delete what nobody meant. */
export function readOutputs(flags: OutputFlags, isStdoutTerminal: boolean): BuildOutput[] {
  const annotations = flags.annotation.filter((text) => text !== '').flatMap(parseAnnotation);
  const given = flags.output.filter((text) => text !== '').map((text) => parseOutput(text, isStdoutTerminal, annotations));
  const outputs = loaded(flags, flags.push ? pushed(given, annotations) : given);
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

/** `--push` is of the images among the outputs; where there is none, one more output (buildx: commands/build.go). */
function pushed(outputs: readonly BuildOutput[], annotations: readonly Annotation[]): BuildOutput[] {
  const own: BuildOutput = { type: 'image', push: 'name', ...(annotations.length > 0 && { annotations }) };
  if (!outputs.some(({ type }) => type === 'image')) return [...outputs, own];
  return outputs.map((output) => (output.type === 'image' ? { push: 'name', ...output } : output));
}

/** `--load` is one more output, unless there is one such already. */
function loaded({ load }: OutputFlags, outputs: BuildOutput[]): BuildOutput[] {
  return load && !outputs.some(({ type }) => type === 'engine') ? [...outputs, { type: 'engine' }] : outputs;
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
  local: ['dest', 'mode', 'platform-split', 'attestation-prefix'],
  tar: ['dest', 'platform-split', 'attestation-prefix'],
  oci: ['dest', 'tar', ...imageKeys],
  docker: ['dest', 'tar', ...imageKeys],
  image: ['push', 'push-by-digest', 'store', 'unpack', ...imageKeys],
  registry: ['push', 'push-by-digest', 'store', 'unpack', ...imageKeys],
  cacheonly: [],
} as const;

type Type = keyof typeof keys;

export function parseOutput(text: string, isStdoutTerminal: boolean, common: readonly Annotation[] = []): BuildOutput {
  const all = outputValues(text);
  const type = outputType(all.get('type'), text);
  const annotations = [...common];
  const values = new Map<string, string>();
  for (const [key, value] of all) {
    const annotation = key.startsWith('annotation') ? parseAnnotationKey(key, value) : undefined;
    if (annotation && type !== 'local' && type !== 'tar' && type !== 'cacheonly') annotations.push(annotation);
    else values.set(key, value);
  }
  checkKeys('--output', values, ['type', ...keys[type]]);
  const destination = values.get('dest') ?? '';
  if (type === 'cacheonly') return { type };
  if (type === 'local') return localOutput(values, destination);
  if (type === 'tar') {
    return { type, destination: fileOrStdout(type, destination, isStdoutTerminal), ...treeValues(values) };
  }
  const image = imageForm(values, annotations);
  // Without a destination docker's own store is meant: that of a running one is handed the image, which is in ours anyway.
  if (type === 'docker' && destination === '') return { type: 'engine', ...image };
  if (type === 'image' || type === 'registry') {
    const push = pushValue(values, type === 'registry');
    return push ? { type: 'image', push, ...image } : { type: 'image', ...(image.names && { names: image.names }) };
  }
  const tar = readBoolean(values, 'tar') ?? true;
  if (!tar && type === 'docker')
    throw new TbuildError('usage/bad-value', '--output type=docker is always an archive: tar=false goes with type=oci');
  if (!tar && (destination === '' || destination === '-'))
    throw new TbuildError('usage/bad-value', '--output with tar=false needs a directory: dest=DIR');
  const file = tar ? fileOrStdout(type, destination, isStdoutTerminal) : destination;
  return { type, destination: file, tar, ...image };
}

function imageForm(values: Values, annotations: readonly Annotation[]): ImageForm {
  const image = imageValues(values);
  if (annotations.length === 0) return image;
  // Docker's media types have no place for annotations: BuildKit turns the OCI's on.
  const { mediaTypes: _, ...rest } = image;
  return { ...rest, annotations };
}

/** One word alone is a directory, or `-` for a tar to standard output; it may hold a `=`. */
function outputValues(text: string): Values {
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

function localOutput(values: Values, destination: string): BuildOutput {
  if (destination === '') throw new TbuildError('usage/bad-value', 'dest is required for local exporter');
  if (destination === '-')
    throw new TbuildError('usage/bad-value', 'dest cannot be stdout for local exporter', {
      hint: 'type=tar,dest=- writes a tar there',
    });
  const mode = values.get('mode') ?? 'copy';
  if (mode !== 'copy' && mode !== 'delete')
    throw new TbuildError('usage/bad-value', `mode in --output is copy or delete, not "${mode}"`);
  return { type: 'local', destination, mode, ...treeValues(values) };
}

function treeValues(values: Values): { platformSplit?: boolean; attestationPrefix?: string } {
  const split = readBoolean(values, 'platform-split');
  const prefix = values.get('attestation-prefix') ?? '';
  if (prefix.includes('/') || prefix.includes('\0'))
    throw new TbuildError('usage/bad-value', `attestation-prefix in --output is the beginning of a name, not "${prefix}"`);
  return { ...(split !== undefined && { platformSplit: split }), ...(prefix !== '' && { attestationPrefix: prefix }) };
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
