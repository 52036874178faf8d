// chmod(1): octal and symbolic modes, as `--chmod` takes them.

import { TbuildError } from '../base/errors.ts';

/** `change`: undefined leaves the mode; octal replaces it; symbolic (`u=rwX,go+r`) edits it. Throws `dockerfile/bad-mode`. */
export function changeMode(mode: number, isDirectory: boolean, change: string | undefined): number {
  if (change === undefined) return mode;
  if (/^[0-7]{1,5}$/.test(change)) {
    const octal = Number.parseInt(change, 8);
    if (octal <= 0o7777) return octal;
  }
  return change.split(',').reduce((current, clause) => applyClause(current, isDirectory, clause, change), mode);
}

const CLASS_SHIFT: Readonly<Record<string, number>> = { u: 6, g: 3, o: 0 };

function applyClause(mode: number, isDirectory: boolean, clause: string, whole: string): number {
  const parsed = /^([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)$/.exec(clause);
  if (!parsed)
    throw new TbuildError('dockerfile/bad-mode', `invalid --chmod value "${whole}"`, {
      hint: 'use octal (0755) or symbolic (u=rwX,go=rX)',
    });
  // Without a class it is all of them: a build has no umask to honour.
  const classes = parsed[1] === '' || parsed[1]?.includes('a') ? ['u', 'g', 'o'] : [...(parsed[1] as string)];
  let result = mode;
  for (const [, operator, permissions] of (parsed[2] as string).matchAll(/([-+=])([ugo]|[rwxXst]*)/g)) {
    result = applyOperator(result, isDirectory, classes, operator as string, permissions as string);
  }
  return result;
}

function applyOperator(
  mode: number,
  isDirectory: boolean,
  classes: readonly string[],
  operator: string,
  permissions: string,
): number {
  const copied = CLASS_SHIFT[permissions];
  let result = mode;
  for (const name of classes) {
    const shift = CLASS_SHIFT[name] as number;
    const bits = copied === undefined ? permissionBits(permissions, mode, isDirectory) : (mode >> copied) & 7;
    const special =
      (name === 'u' && permissions.includes('s') ? 0o4000 : 0) | (name === 'g' && permissions.includes('s') ? 0o2000 : 0);
    if (operator === '-') result &= ~((bits << shift) | special);
    else if (operator === '+') result |= (bits << shift) | special;
    else result = (result & ~((7 << shift) | (name === 'u' ? 0o4000 : name === 'g' ? 0o2000 : 0))) | (bits << shift) | special;
  }
  if (!permissions.includes('t')) return result;
  return operator === '-' ? result & ~0o1000 : result | 0o1000;
}

function permissionBits(permissions: string, mode: number, isDirectory: boolean): number {
  const execute = permissions.includes('x') || (permissions.includes('X') && (isDirectory || (mode & 0o111) !== 0));
  return (permissions.includes('r') ? 4 : 0) | (permissions.includes('w') ? 2 : 0) | (execute ? 1 : 0);
}
