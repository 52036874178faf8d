// Whom files are said to belong to: `--chown`, and the user of a WORKDIR. Names are looked up by the step, where there is something to look them up in.

import { dockerfileError } from '../dockerfile/errors.ts';
import type { Owner } from './graph.ts';

export function ownerOf(written: string): Owner | undefined {
  if (written === '') return undefined;
  const colon = written.indexOf(':');
  if (colon < 0) return { user: written, group: undefined };
  return { user: written.slice(0, colon), group: written.slice(colon + 1) };
}

/** Numbers and root need no passwd file; names on top of nothing are an error (BuildKit: ops/file.go, "invalid user index"). */
export function checkOwner(what: string, written: string, isOnNothing: boolean, isLink: boolean): void {
  if (!isOnNothing) return;
  const name = written.split(':').find((part) => part !== '' && part !== 'root' && !/^[+-]?\d+$/.test(part));
  if (name === undefined) return;
  throw dockerfileError(
    'owner',
    `${what} ${written}: there is no passwd or group file to look ${name} up in`,
    undefined,
    isLink
      ? '--link copies without a look at what is below: give numbers, or leave --link away'
      : 'nothing is below: give numbers',
  );
}
