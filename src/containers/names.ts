// What containers are called: docker's rule for names, and a name of docker's kind for who gives none.

import { randomBytes, randomInt } from 'node:crypto';
import { TbuildError } from '../base/errors.ts';

/** docker's RestrictedNamePattern (moby, daemon/names). */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/** Without the slash that docker's API has before it. Throws `container/bad-name`. */
export function checkName(text: string): string {
  const name = text.replace(/^\//, '');
  if (NAME.test(name)) return name;
  throw new TbuildError(
    'container/bad-name',
    `Invalid container name (${text}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed${name.length === 1 ? ', two or more of them' : ''}`,
  );
}

const ADJECTIVES =
  'agile amber bold brave brisk calm candid clever cosmic crisp daring eager early fair fleet gentle glad golden keen kind lively lucid merry mild noble patient quick quiet ready sharp silent steady sunny swift tidy vivid warm wise witty zesty'.split(
    ' ',
  );
const SURNAMES =
  'babbage bardeen boole cantor carson cori curie dijkstra easley euler faraday fermi franklin galois gauss germain goodall hamilton hilbert hopper huygens jackson johnson kepler kovalevskaya lamarr leavitt liskov lovelace maxwell mcclintock meitner mendel mirzakhani noether pascal perlman planck ride rubin shannon somerville tharp turing volta wing'.split(
    ' ',
  );

/** `isTaken`: by another container. */
export function inventName(isTaken: (name: string) => boolean): string {
  for (let trial = 0; trial < 8; trial++) {
    const name = `${one(ADJECTIVES)}_${one(SURNAMES)}${trial < 4 ? '' : randomInt(10)}`;
    if (!isTaken(name)) return name;
  }
  return randomBytes(8).toString('hex');
}

const one = (words: readonly string[]) => words[randomInt(words.length)] as string;
