// What docker says of a flag's value that it does not take (spf13/pflag: FlagSet.failf).

import { TbuildError } from '../../base/errors.ts';

/** `flag` as the help shows it: `--dns`, `-e, --env`. */
export function badArgument(flag: string, text: string, why: string, hint?: string): TbuildError {
  return new TbuildError('usage/bad-value', `invalid argument ${JSON.stringify(text)} for "${flag}" flag: ${why}`, { hint });
}

/** What only docker's later checks, or its daemon, refuse. */
export function badValue(why: string, hint?: string): TbuildError {
  return new TbuildError('usage/bad-value', why, { hint });
}

/** Two options that cannot both be. */
export function conflict(what: string): TbuildError {
  return new TbuildError('usage/conflict', `conflicting options: ${what}`);
}
