// Which progress display a build gets.

import { TbuildError } from '../../base/errors.ts';
import { noProgress } from './none.ts';
import { plainProgress } from './plain.ts';
import type { Progress, ProgressSurroundings } from './progress.ts';
import { quietProgress } from './quiet.ts';
import { rawjsonProgress } from './rawjson.ts';
import { ttyProgress } from './tty.ts';

export const progressKinds = ['auto', 'none', 'plain', 'quiet', 'rawjson', 'tty'] as const;
type Kind = Exclude<(typeof progressKinds)[number], 'auto'>;

const displays: Record<Kind, (surroundings: ProgressSurroundings) => Progress> = {
  none: noProgress,
  plain: plainProgress,
  quiet: quietProgress,
  rawjson: rawjsonProgress,
  tty: ttyProgress,
};

/** The flag wins over TBUILD_PROGRESS, that over BUILDKIT_PROGRESS; `auto` is a terminal's display on a terminal. */
export function chooseProgress(surroundings: ProgressSurroundings, flag: string | undefined): Progress {
  const { stderr, env, isDebug } = surroundings;
  const wanted = flag ?? (env.TBUILD_PROGRESS || env.BUILDKIT_PROGRESS || 'auto');
  if (!isKind(wanted)) {
    const variable = env.TBUILD_PROGRESS ? 'TBUILD_PROGRESS' : 'BUILDKIT_PROGRESS';
    throw new TbuildError('usage/bad-value', `${variable} is one of ${progressKinds.join(', ')}, not "${wanted}"`);
  }
  if (flag === 'tty' && !stderr.isTTY) {
    throw new TbuildError('usage/terminal', '--progress=tty needs a terminal, and standard error is none', {
      hint: '--progress=plain does without',
    });
  }
  // Debug lines would tear a display that redraws itself.
  const canRedraw = stderr.isTTY === true && env.TERM !== 'dumb' && !isDebug;
  if (wanted === 'auto') return displays[canRedraw ? 'tty' : 'plain'](surroundings);
  // A shell's settings may ask for a terminal's display where there happens to be none.
  return displays[wanted === 'tty' && !stderr.isTTY ? 'plain' : wanted](surroundings);
}

function isKind(text: string): text is (typeof progressKinds)[number] {
  return (progressKinds as readonly string[]).includes(text);
}
