// How the reason of a miss is said in one line.

import type { Cause } from '../../cache/builds.ts';

/** That are kept of one step. */
export const MAX_CHANGES = 200;
/** That are shown in a line. */
const SHOWN = 3;

export function sentenceOf(changes: readonly string[], because: readonly Cause[]): string {
  const own = enumerate(changes);
  if (because.length === 0) return own;
  const causes = because
    .slice(0, SHOWN)
    .map(({ step, changes: all }) => (step === '' ? enumerate(all) : `\`${cut(step)}\`: ${enumerate(all)}`));
  const more = because.length > SHOWN ? ` and ${because.length - SHOWN} more` : '';
  // What is below a step is not an instruction: it needs no "because" of its own.
  const isImage = because.every(({ step }) => step === '');
  const below = `${isImage ? '' : 'because '}${causes.join('; ')}${more}`;
  return own === '' ? below : `${own}, ${below}`;
}

/** `a, b, c and 12 more`. */
function enumerate(changes: readonly string[]): string {
  const rest = changes.length - SHOWN;
  return rest <= 0 ? changes.join(', ') : `${changes.slice(0, SHOWN).join(', ')} and ${rest} more`;
}

const MAX_STEP = 60;
const cut = (step: string): string => (step.length <= MAX_STEP ? step : `${step.slice(0, MAX_STEP - 1)}…`);

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROLS = /[\x00-\x1f\x7f-\x9f]/g;

/** A name may hold anything, a line end too. */
export function visible(text: string): string {
  return text.replace(CONTROLS, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
