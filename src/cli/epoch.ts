// SOURCE_DATE_EPOCH of the environment, for commands that write a time.

import { TbuildError } from '../base/errors.ts';

/** In seconds; undefined: nobody set it. */
export function parseEpoch(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const seconds = Number(text);
  if (/^\d+$/.test(text) && !Number.isNaN(new Date(seconds * 1000).getTime())) return seconds;
  throw new TbuildError('usage/source-date-epoch', `invalid SOURCE_DATE_EPOCH: ${text}`, { hint: 'it is a number of seconds' });
}
