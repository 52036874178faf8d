// Colours, where they are wanted: on a terminal and without NO_COLOR, or where FORCE_COLOR says so.
// Not by util.styleText: to import node:util costs every command 2 to 4 ms.

import type { Environment, Output } from './surroundings.ts';

/** ECMA-48 SGR: the code that begins a style. The last four are those that BUILDKIT_COLORS names. */
const codes = { bold: '1', dim: '2', hint: '36', run: '36', error: '31', cancel: '33', warning: '33' };

export type Style = keyof typeof codes;
export type Paint = (style: Style, text: string) => string;

export function choosePaint(stream: Pick<Output, 'isTTY'>, env: Environment): Paint {
  if (!hasColours(stream, env)) return (_, text) => text;
  const chosen = env.BUILDKIT_COLORS ? { ...codes, ...readColours(env.BUILDKIT_COLORS) } : codes;
  return (style, text) => `\x1b[${chosen[style]}m${text}\x1b[${style === 'bold' || style === 'dim' ? 22 : 39}m`;
}

/** BuildKit's names (util/progress/progressui/colors.go). */
const names = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];

/** `run=green:error=255,60,60:warning=yellow:cancel=blue`. What is not understood is left out: it is an environment for many programs. */
function readColours(text: string): Partial<typeof codes> {
  const read = text.split(':').flatMap((field): [string, string][] => {
    const [style = '', colour = ''] = field.split('=');
    const code = colourCode(colour);
    return code !== undefined && ['run', 'error', 'cancel', 'warning'].includes(style) ? [[style, code]] : [];
  });
  return Object.fromEntries(read);
}

function colourCode(colour: string): string | undefined {
  const position = names.indexOf(colour.toLowerCase().replace(/^light/, ''));
  if (position >= 0) return String((/^light/i.test(colour) ? 90 : 30) + position);
  const parts = colour.split(',');
  const isRgb = parts.length === 3 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255);
  return isRgb ? `38;2;${parts.map(Number).join(';')}` : undefined;
}

/** no-color.org: NO_COLOR counts when it is not empty. */
function hasColours(stream: Pick<Output, 'isTTY'>, env: Environment): boolean {
  if (env.NO_COLOR) return false;
  if (env.FORCE_COLOR !== undefined) return env.FORCE_COLOR !== '0' && env.FORCE_COLOR !== 'false';
  return stream.isTTY === true && env.TERM !== 'dumb';
}
