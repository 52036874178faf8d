// What a Dockerfile names in its text, whatever is asked of it: by this one knows which entries of a lock it has no more use for. A name with a
// variable in it may be any name that begins like it.

import { TbuildError } from '../../base/errors.ts';
import { parseGitUrl } from '../../context/git/url.ts';
import { contextName } from '../../context/named.ts';
import type { Dockerfile, Instruction } from '../../dockerfile/instructions.ts';
import { readMountSource } from '../../dockerfile/mount.ts';
import { parseTrigger } from '../../dockerfile/parse.ts';
import { familiarName, normalizeName } from '../../oci/reference.ts';
import type { Lock } from './document.ts';
import { type KeyScope, keyOf } from './keys.ts';

export interface Written {
  /** Whether the text names an image, in full. */
  image(name: string): boolean;
  /** Whether it names the URL or the repository of a key. */
  remote(key: string): boolean;
  /** Whether --build-context of that name would be taken for something in it. */
  context(name: string): boolean;
}

export function writtenNames(dockerfile: Dockerfile): Written {
  const images: string[] = [];
  const remotes: string[] = [];
  const stages = new Set<string>();
  for (const { name, base, instructions } of dockerfile.stages) {
    if (name !== undefined) stages.add(name);
    images.push(base);
    for (const instruction of instructions) collect(instruction, images, remotes);
  }
  const literal = (texts: readonly string[]) => texts.filter((text) => !hasVariable(text)).map(unquote);
  const fullNames = new Set(literal(images).flatMap((text) => asName(normalizeName, text)));
  const contexts = new Set(literal(images).flatMap((text) => asName(contextName, text)));
  const imageBeginnings = images.filter(hasVariable).map(beginningOf);
  // Of parameters some are in no key.
  const remoteBeginnings = remotes.filter(hasVariable).map((text) => beginningOf(text).replace(/\?.*/s, ''));
  return {
    image: (name) =>
      fullNames.has(name) ||
      imageBeginnings.some((beginning) => name.startsWith(beginning) || familiarName(name).startsWith(beginning)),
    remote: (key) => remotes.includes(key) || remoteBeginnings.some((beginning) => key.startsWith(beginning)),
    context: (name) => {
      const [bare = ''] = name.split('::');
      return stages.has(bare) || contexts.has(bare) || imageBeginnings.some((beginning) => bare.startsWith(beginning));
    },
  };
}

/** Entries that nothing in the Dockerfile leads to, by their keys. */
export function staleEntries(lock: Lock, written: Written): Set<string> {
  const needed = new Set(lock.onbuild);
  for (const [name, key] of lock.contexts) if (written.context(name)) needed.add(key);
  const stale = (keys: Iterable<string>, isWritten: (key: string) => boolean) =>
    [...keys].filter((key) => !needed.has(key) && !isWritten(key));
  const remotes = [...lock.urls.keys(), ...lock.git.keys()];
  return new Set([...stale(lock.images.keys(), written.image), ...stale(remotes, written.remote)]);
}

function collect(instruction: Instruction, images: string[], remotes: string[]): void {
  switch (instruction.kind) {
    case 'copy':
      if (instruction.from !== undefined) images.push(instruction.from);
      break;
    case 'run':
      images.push(...instruction.mounts.map(readMountSource).filter((from) => from !== ''));
      break;
    case 'add':
      for (const source of instruction.sources) remotes.push(remoteKey(source, instruction.keepGitDir !== undefined));
      break;
    case 'onbuild':
      collect(parseTrigger(instruction.trigger, instruction.where), images, remotes);
      break;
    default:
  }
}

/** Nothing comes by a build argument. */
const AS_WRITTEN: KeyScope = { text: '', given: [] };

/** What is no remote source is the key of nothing. */
function remoteKey(text: string, isGit: boolean): string {
  const source = unquote(text);
  if (hasVariable(source)) return source.replace(/^([a-z]+:\/\/)[^/$]*@/i, '$1');
  try {
    const git = parseGitUrl(source, isGit);
    if (git) return keyOf({ kind: 'git', source: git }, AS_WRITTEN);
  } catch {
    return source; // A build says what is wrong with it.
  }
  return keyOf({ kind: 'http', url: source, name: '', checksum: undefined }, AS_WRITTEN);
}

const hasVariable = (text: string): boolean => text.includes('$');

const beginningOf = (text: string): string => unquote(text.slice(0, text.indexOf('$')));

/** No name has a quote or an escape character in it. */
const unquote = (text: string): string => text.replace(/["'\\`]/g, '');

function asName(read: (text: string) => string, text: string): string[] {
  try {
    return [read(text)];
  } catch (error) {
    if (error instanceof TbuildError) return [];
    throw error;
  }
}
