// Values such as `type=oci,dest=app.tar`: one line of CSV whose fields are key=value, as buildx reads --output and --secret. Pure.

import { TbuildError } from '../../base/errors.ts';
import { readRecord } from '../../dockerfile/csv.ts';
import { nearest } from '../nearest.ts';

/** Keys in lower case; one given twice has its last value. `flag` is for messages. */
export function parseKeyValues(flag: string, text: string): Map<string, string> {
  const values = new Map<string, string>();
  const stray = (field: number) => new TbuildError('usage/bad-value', `${flag} has a stray quote in field ${field}`);
  for (const [index, { text: field }] of readRecord(text, stray).entries()) {
    const at = field.indexOf('=');
    // Not quoted: who writes --secret $TOKEN finds out without the log finding out too.
    if (at < 0) throw new TbuildError('usage/bad-value', `${flag} takes key=value pairs, and field ${index + 1} has no =`);
    values.set(field.slice(0, at).trim().toLowerCase(), field.slice(at + 1));
  }
  return values;
}

export function checkKeys(flag: string, values: ReadonlyMap<string, string>, known: readonly string[]): void {
  for (const key of values.keys()) {
    if (known.includes(key)) continue;
    const meant = nearest(key, known);
    throw new TbuildError('usage/bad-value', `${flag} does not know "${key}"`, {
      hint: meant ? `did you mean ${meant}=?` : `it knows ${known.join(', ')}`,
    });
  }
}
