// The values of build's flags that have an inside: --build-arg, --label, --secret. Read as buildx reads them.

import { TbuildError } from '../../base/errors.ts';
import type { Secret } from '../../build/secrets.ts';
import type { Platform } from '../../oci/config.ts';
import { formatPlatform, hostPlatform, parsePlatform } from '../../oci/platform.ts';
import type { Environment } from '../surroundings.ts';
import { checkKeys, parseKeyValues } from './key.ts';

/** `NAME` alone takes the value from the environment, and is left out when that has none. */
export function parseBuildArgs(args: readonly string[], env: Environment): Record<string, string> {
  const values = new Map<string, string>();
  for (const arg of args) {
    const at = arg.indexOf('=');
    const name = at < 0 ? arg : arg.slice(0, at);
    if (name === '') throw new TbuildError('usage/bad-value', '--build-arg takes NAME=value or NAME, and the name is empty');
    const value = at < 0 ? env[name] : arg.slice(at + 1);
    if (value !== undefined) values.set(name, value);
  }
  return Object.fromEntries(values);
}

/** What a value names is for the build to find out. */
export function parseBuildContexts(contexts: readonly string[]): Record<string, string> {
  const values = contexts.map((context): [string, string] => {
    const at = context.indexOf('=');
    if (at > 0 && at < context.length - 1) return [context.slice(0, at), context.slice(at + 1)];
    throw new TbuildError('usage/bad-value', `--build-context takes name=source, not "${context}"`, {
      hint: 'as in --build-context lib=../lib or --build-context alpine=docker-image://alpine:3.20',
    });
  });
  return Object.fromEntries(values);
}

/** As buildx does: the time that a whole toolchain agreed on counts here too (commands/build.go). */
export function withEpoch(args: Record<string, string>, { SOURCE_DATE_EPOCH: epoch }: Environment): Record<string, string> {
  return epoch && !Object.hasOwn(args, 'SOURCE_DATE_EPOCH') ? { ...args, SOURCE_DATE_EPOCH: epoch } : args;
}

export function parseLabels(labels: readonly string[]): Record<string, string> {
  const values = labels.map((label): [string, string] => {
    const at = label.indexOf('=');
    const [name, value] = at < 0 ? [label, ''] : [label.slice(0, at), label.slice(at + 1)];
    if (name === '') throw new TbuildError('usage/bad-value', `--label takes name=value, and the name is empty in "${label}"`);
    return [name, value];
  });
  return Object.fromEntries(values);
}

/** buildx build/utils.go and buildkit secretsprovider: without a source it is the variable of that name, else the file. */
export function parseSecret(text: string, env: Environment): Secret {
  const values = parseKeyValues('--secret', text);
  checkKeys('--secret', values, ['id', 'src', 'source', 'env', 'type']);
  const type = values.get('type');
  if (type !== undefined && type !== 'file' && type !== 'env') {
    throw new TbuildError('usage/bad-value', `--secret has the type file or env, not "${type}"`);
  }
  let file = values.get('src') ?? values.get('source');
  let variable = values.get('env');
  const id = values.get('id') || variable || file;
  if (!id) throw new TbuildError('usage/bad-value', '--secret needs an id');
  // With type=env, what was called src is a variable.
  if (type === 'env' && variable === undefined) [variable, file] = [file ?? id, undefined];
  if (file !== undefined && variable !== undefined) {
    throw new TbuildError('usage/conflict', `--secret id=${id} has both a file and a variable: one of src and env is enough`);
  }
  if (file === undefined && variable === undefined) {
    if (type !== 'file' && env[id] !== undefined) variable = id;
    else file = id;
  }
  return variable !== undefined ? { id, env: variable } : { id, file: file! };
}

/** buildx util/platformutil: comma lists, `local` is this machine's, each once. */
export function parsePlatforms(texts: readonly string[], env: Environment): Platform[] {
  const fallback = env.DOCKER_DEFAULT_PLATFORM;
  const asked = texts.length === 0 && fallback ? [fallback] : texts;
  const platforms = asked
    .flatMap((text) => text.split(','))
    .map((text) => text.trim())
    .map((text) => (text === 'local' ? hostPlatform() : parsePlatform(text)));
  return [...new Map(platforms.map((platform) => [formatPlatform(platform), platform])).values()];
}
