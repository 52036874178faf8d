// Colours, where they are wanted: on a terminal and without NO_COLOR, or where FORCE_COLOR says so.
// Not by util.styleText: to import node:util costs every command 2 to 4 ms.

import type { Environment, Output } from './surroundings.ts';

/** ECMA-48 SGR: the code that begins a style, and the one that ends it. */
const codes = { bold: [1, 22], dim: [2, 22], red: [31, 39], yellow: [33, 39], cyan: [36, 39] } as const;

export type Paint = (style: keyof typeof codes, text: string) => string;

export function choosePaint(stream: Pick<Output, 'isTTY'>, env: Environment): Paint {
  if (!hasColours(stream, env)) return (_, text) => text;
  return (style, text) => `\x1b[${codes[style][0]}m${text}\x1b[${codes[style][1]}m`;
}

/** no-color.org: NO_COLOR counts when it is not empty. */
function hasColours(stream: Pick<Output, 'isTTY'>, env: Environment): boolean {
  if (env.NO_COLOR) return false;
  if (env.FORCE_COLOR !== undefined) return env.FORCE_COLOR !== '0' && env.FORCE_COLOR !== 'false';
  return stream.isTTY === true && env.TERM !== 'dumb';
}
