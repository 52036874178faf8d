// Colours, where they are wanted: on a terminal and without NO_COLOR, or where FORCE_COLOR says so.

import { styleText } from 'node:util';
import type { Environment, Output } from './surroundings.ts';

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';
export type Paint = (style: Style, text: string) => string;

export function choosePaint(stream: Pick<Output, 'isTTY'>, env: Environment): Paint {
  return hasColours(stream, env) ? (style, text) => styleText(style, text, { validateStream: false }) : (_, text) => text;
}

/** no-color.org: NO_COLOR counts when it is not empty. */
function hasColours(stream: Pick<Output, 'isTTY'>, env: Environment): boolean {
  if (env.NO_COLOR) return false;
  if (env.FORCE_COLOR !== undefined) return env.FORCE_COLOR !== '0' && env.FORCE_COLOR !== 'false';
  return stream.isTTY === true && env.TERM !== 'dumb';
}
